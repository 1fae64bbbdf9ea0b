"""Speech without a queue: jobs compiled into a folder, and that folder executed in one warm process.

A compiled folder holds the text of each job and `manifest.json`, which names what is to be run with paths relative to
itself, so it can be copied to another machine and executed there. It knows no Redis and no job file; called by
`job_runner.service.offline`.
"""

from __future__ import annotations

from lib.manifest.compiling import Compiled, compile_jobs
from lib.manifest.documents import EXECUTION, MANIFEST
from lib.manifest.executed import execution_document
from lib.manifest.executing import ExecuteOptions, Execution, JobProgress, execute
from lib.manifest.execution import ExecutedJob
from lib.manifest.reading import CheckedManifest, read_manifest

__all__ = [
    "EXECUTION",
    "MANIFEST",
    "CheckedManifest",
    "Compiled",
    "ExecuteOptions",
    "ExecutedJob",
    "Execution",
    "JobProgress",
    "compile_jobs",
    "execute",
    "execution_document",
    "read_manifest",
]
