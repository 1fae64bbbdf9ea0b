"""Jobs for tests of batches, and who gives them to a runner."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from job_watcher.work_dirs import WorkDir
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.jobqueue.protocol import Lease
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from job_watcher.hosts.batches import BatchRunner
    from lib.tasks.base import TaskResult
    from tests.job_watcher.hosts.local_host import LocalHost


def job(text: str = "A line to say.", **fields: Any) -> JobSpec:
    """A speech job."""
    return normalize_job_spec({"request_id": f"id-{text[:40]}", "text": text, "voice": "newsroom", **fields})


def lease_of(spec: JobSpec, *, deaths: int = 0) -> Lease:
    """Its lease."""
    return Lease(spec.request_id, "1", "7", "lane:vast:speech", "1-0", 0, deaths, 0, "default", spec.to_json())


class Jobs:
    """Jobs that are given to a runner."""

    def __init__(self, runner: BatchRunner, host: LocalHost, base: Path) -> None:
        self.runner = runner
        self.host = host
        self.base = base
        self.progress: dict[str, list[dict[str, Any]]] = {}

    def give(
        self, spec: JobSpec, *, deaths: int = 0, begun: Callable[[], Awaitable[None]] | None = None
    ) -> asyncio.Task[TaskResult]:
        """Give one; its end."""
        said: list[dict[str, Any]] = []
        self.progress[spec.request_id] = said
        directory = self.base / hashlib.sha256(spec.request_id.encode()).hexdigest()
        work_dir = WorkDir(directory, lambda: None)
        lease = lease_of(spec, deaths=deaths)
        return asyncio.create_task(self.runner.speak(spec, 1, lease, work_dir, said.append, begun))

    async def at_work(self, spec: JobSpec) -> None:
        """Wait until its body has begun."""
        await wait_until(lambda: self.progress[spec.request_id], what=f"{spec.request_id} has begun")

    def open(self, gate: str) -> None:
        """Let those go on that wait for it."""
        (self.host.root / "job-runner-work" / gate).touch()
