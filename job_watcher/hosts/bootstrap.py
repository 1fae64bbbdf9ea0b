"""Job-runner on a bare machine: Python, an environment of its own, and the wheel that the watcher sends.

An image of Dockerfile.worker needs none of it. What it depends on comes from the host's package index; job-runner
itself comes from here, so that both ends are the same version. Called after the probe, where it found no worker or
another version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from job_watcher.hosts.connection import Host


async def install(
    host: Host, wheel: Path, *, seconds: float, extras: Sequence[str] = (), on_step: Callable[[str], None] | None = None
) -> str:
    """Install it; the path of `job-runner` there. `on_step` is told each step, in the event loop.

    Raises:
        BootstrapError: a step failed, or `seconds` had passed.
        HostLostError: the connection broke.
    """
    raise NotImplementedError
