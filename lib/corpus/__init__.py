"""A corpus: records, and the annotations of them beside it."""
