"""The soak: a watcher under a constant load for half an hour, and whether anything of it grows; `make soak` runs it."""
