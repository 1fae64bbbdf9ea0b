"""Rented machines from end to end: the demo, and whole watchers against the fake market."""
