"""Leases and settings for tests that run jobs without a queue, and a view of processes."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import Lease
from lib.settings import Settings
from lib.tasks.registry import TaskRegistry, built_in_tasks, load_task_modules

MODULE = "tests.support.tasks"


def settings_in(directory: Path, **more: str) -> Settings:
    """Settings with everything below `directory` and the misbehaving tasks loaded."""
    return Settings.load(
        {"JOBS_STATE_DIR": str(directory), "JOBS_TASK_MODULES": MODULE, "HOME": str(directory), **more}
    )


def registry() -> TaskRegistry:
    """The built-in tasks and the misbehaving ones."""
    return TaskRegistry((*built_in_tasks(), *load_task_modules([MODULE])))


def spec(task: str, *, request_id: str = "job-1", payload: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    """A job of this task; three attempts of a minute unless said otherwise."""
    given = {"max_attempts": 3, "timeout_seconds": 60.0, "queued_at": datetime(2026, 1, 1, tzinfo=UTC), **fields}
    return JobSpec(request_id=request_id, task=task, payload=payload or {}, **given)


def lease_of(job: JobSpec, *, fence: str = "1001", **fields: Any) -> Lease:
    """The job as a watcher gets it."""
    given: dict[str, Any] = {"attempts_used": 0, "deaths": 0, "crashes": 0, "job": job.to_json(), **fields}
    return Lease(
        request_id=job.request_id,
        generation="1000",
        fence=fence,
        lane="lane:metal:any",
        entry="1-0",
        home="backlog",
        **given,
    )


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def children() -> list[int]:
    """Pids of this process's children, dead ones that nobody waited for included."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread may end between the two looks.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def open_descriptors() -> dict[str, str]:
    """What this process has open, by number."""
    found: dict[str, str] = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:
            continue
    return found
