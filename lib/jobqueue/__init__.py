"""The model of a job: pure, no I/O, known to every other room."""

from __future__ import annotations

from lib.jobqueue.catalogue import BUILT_IN, Capability, Catalogue, Isolation, TaskKind
from lib.jobqueue.needs import capability_of
from lib.jobqueue.normalise import normalize_job_spec
from lib.jobqueue.problems import FieldProblem, InvalidJobError
from lib.jobqueue.spec import SPEECH_FIELDS, JobSpec, identity_of

__all__ = [
    "BUILT_IN",
    "SPEECH_FIELDS",
    "Capability",
    "Catalogue",
    "FieldProblem",
    "InvalidJobError",
    "Isolation",
    "JobSpec",
    "TaskKind",
    "capability_of",
    "identity_of",
    "normalize_job_spec",
]
