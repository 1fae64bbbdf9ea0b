"""The wheel of the job-runner that runs here, made of its own installed files, to be sent to bare hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_wheel(directory: Path) -> Path:
    """Write it into `directory`; blocks for half a second."""
    raise NotImplementedError


def own_version() -> str:
    """As `Probe.version` must be for the host to be used without a bootstrap."""
    raise NotImplementedError
