"""What a task may ask its context for: speech now; a text model has its place beside it."""
