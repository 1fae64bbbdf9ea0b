"""The commands of `job-watcher` beside watching itself, one a module."""
