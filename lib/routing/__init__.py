"""Where a job should run: pure decisions, no I/O."""
