"""execution.json: what became of each job of a manifest, whole on the disk after every one.

It is rewritten by rename, so whoever reads it sees complete JSON at any moment, and a crash loses nothing that had
finished. While it runs `completed_at` is null and `current` names the job at work: what a crash leaves behind says
which job it was in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from lib.clock import iso
from lib.manifest.documents import SCHEMA_VERSION
from lib.manifest.folder import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

Status = Literal["ok", "failed", "skipped"]

ALREADY_MADE: Final = "already_made"
DRY_RUN: Final = "dry_run"
FAIL_FAST: Final = "fail_fast"
INTERRUPTED: Final = "interrupted"
"""Why a job was skipped."""

# Far more than any message of ours; the tail of a strange exception helps nobody.
_ERROR_CHARACTERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ExecutedJob:
    """One job's end. `return_code` is the exit code that `voice-synth speak` would have had, None if it was not run.

    `reason` says why it was skipped. `result` tells of its audio: file names, seconds, the engine.
    """

    request_id: str
    output_name: str
    status: Status
    return_code: int | None
    duration_sec: float
    error: str | None = None
    hint: str | None = None
    reason: str | None = None
    result: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Its part of the document; what says nothing is left out."""
        document: dict[str, Any] = {
            "request_id": self.request_id,
            "output_name": self.output_name,
            "status": self.status,
            "return_code": self.return_code,
            "duration_sec": round(self.duration_sec, 3),
        }
        if self.error is not None:
            document["error"] = self.error[:_ERROR_CHARACTERS]
        document |= {name: value for name in ("hint", "reason") if (value := getattr(self, name)) is not None}
        return document | self.result

    @property
    def sound(self) -> bool:
        """Whether its audio is there, made now or before."""
        return self.status == "ok" or self.reason == ALREADY_MADE


class ExecutionLog:
    """The document in the making. Each job is encoded once, so that a thousand jobs cost no million encodings."""

    def __init__(self, path: Path, *, run_id: str, job_count: int, dry_run: bool, now: Callable[[], datetime]) -> None:
        self.path = path
        self.jobs: list[ExecutedJob] = []
        self._encoded: list[str] = []
        self._now = now
        self._began = now()
        self._head = {"run_id": run_id, "job_count": job_count, "dry_run": dry_run}
        self._completed: datetime | None = None
        self._aborted = False
        self._current: str | None = None

    def begin(self, request_id: str) -> None:
        """This job is at work from now on."""
        self._current = request_id
        self.write()

    def add(self, job: ExecutedJob) -> None:
        """This job has ended."""
        self.jobs.append(job)
        self._encoded.append(json.dumps(job.document(), ensure_ascii=False))
        self._current = None

    def complete(self, *, aborted: bool) -> None:
        """Nothing follows."""
        self._completed, self._aborted, self._current = self._now(), aborted, None
        self.write()

    @property
    def success(self) -> bool:
        """Whether every job's audio is there; of a dry run, whether nothing stands in its way."""
        head = self._head
        if self._completed is None or self._aborted or len(self.jobs) != head["job_count"]:
            return False
        return all(job.sound or (head["dry_run"] and job.reason == DRY_RUN) for job in self.jobs)

    def write(self) -> None:
        """Put it on the disk as it is now; blocks for an fsync."""
        head = json.dumps(self._summary(), indent=2, ensure_ascii=False).removesuffix("\n}")
        rows = ",\n".join(f"    {row}" for row in self._encoded)
        jobs = f'"jobs": [\n{rows}\n  ]' if rows else '"jobs": []'
        write_whole(self.path, f"{head},\n  {jobs}\n}}\n".encode())

    def document(self) -> dict[str, Any]:
        """The same as an object."""
        return {**self._summary(), "jobs": [job.document() for job in self.jobs]}

    def _summary(self) -> dict[str, Any]:
        ran = [job for job in self.jobs if job.status != "skipped"]
        until = self._completed or self._now()
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self._head["run_id"],
            "started_at": iso(self._began),
            "completed_at": iso(self._completed) if self._completed else None,
            "duration_sec": round(max(0.0, (until - self._began).total_seconds()), 3),
            "job_count": self._head["job_count"],
            "executed_count": len(ran),
            "failed_count": sum(job.status == "failed" for job in ran),
            "skipped_count": len(self.jobs) - len(ran),
            "success": self.success,
            "aborted": self._aborted,
            "dry_run": self._head["dry_run"],
            "current": self._current,
        }
