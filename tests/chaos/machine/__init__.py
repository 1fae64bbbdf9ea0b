"""The chaos machine: breaks a whole queue on a seeded schedule and proves from the recorded history what held.

Run by `make chaos` and `make chaos-planted`; docs/explanation/chaos.md says how to read and to replay a run.
"""
