"""Files that people write, as validated jobs with the line of everything."""

from __future__ import annotations

from lib.jobfile.reading import FileReport, check_file, read_jobs, scan_jobs
from lib.jobfile.scanning import EntryNames, FileJob, FileRules

__all__ = ["EntryNames", "FileJob", "FileReport", "FileRules", "check_file", "read_jobs", "scan_jobs"]
