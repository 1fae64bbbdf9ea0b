"""Where a job's outputs are kept: stored under a name of their own, checked, then published."""
