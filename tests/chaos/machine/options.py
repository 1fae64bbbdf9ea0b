"""What a run of the chaos machine is asked to be, and what this machine lets it do. Plain values."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "chaos"
SHORT_JOBS, SHORT_MINUTES, SHORT_FAULTS = 600, 0.35, 24


@dataclass(frozen=True, slots=True)
class Options:
    """One run; `only` names the kinds of fault to draw from, all when empty, and `poison` whether jobs kill watchers.

    `slots` is what each watcher runs at once.
    """

    seed: int
    jobs: int = 20_000
    minutes: float = 10.0
    faults: int = 200
    watchers: int = 3
    producers: int = 3
    slots: int = 8
    only: tuple[str, ...] = ()
    poison: bool = True

    @property
    def seconds(self) -> float:
        """How long faults and new jobs come; the drain follows."""
        return self.minutes * 60

    def as_json(self) -> dict[str, Any]:
        """For the history."""
        return asdict(self)

    @classmethod
    def from_json(cls, words: Mapping[str, Any]) -> Options:
        """The other way round."""
        return cls(**{**words, "only": tuple(words["only"])})


def libfaketime() -> Path | None:
    """The library that fakes a server's clock, where it is installed."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    return found if shutil.which("faketime") else None


def can_mount(place: Path) -> bool:
    """Whether a small disk may be mounted here; tried, since root in a container may be refused."""
    if os.geteuid() != 0:
        return False
    place.mkdir(parents=True, exist_ok=True)
    if not mount(place):
        return False
    unmount(place)
    return True


def mount(place: Path) -> bool:
    """A disk of eight megabytes at `place`; whether it is there now."""
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def unmount(place: Path) -> None:
    """Take it away; nothing to do where there is none."""
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)
