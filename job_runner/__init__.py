"""The face of producers: the `job-runner` program. `service` does the work, `cli` parses and prints."""
