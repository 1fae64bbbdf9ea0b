"""The `job-runner` program: one command a module, loaded when it is used.

A command parses, calls `job_runner.service`, prints. `app.main` is the only place that catches errors.
"""
