"""What can be set, in groups: the queue and its watchers, compute, outputs and callbacks."""
