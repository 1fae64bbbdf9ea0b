"""The conductor on a virtual clock: the same decisions, the same limits, no queue, no waiting."""
