"""Files that people write, as validated jobs with the line of everything."""

from __future__ import annotations

from lib.jobfile.reading import FileJob, FileReport, FileRules, check_file, read_jobs, scan_jobs

__all__ = ["FileJob", "FileReport", "FileRules", "check_file", "read_jobs", "scan_jobs"]
