"""One name in two files of one command: harmless with the same content, a mistake with other content.

Called by `jobfiles` and `planning`; which names are worth remembering is theirs to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.errors import Problem
from lib.jobqueue import identity_of
from lib.jobqueue.problems import shown

if TYPE_CHECKING:
    from pathlib import Path

    from lib.jobfile import FileJob


@dataclass(frozen=True, slots=True)
class Earlier:
    """Where a name stood before; `same` says whether content and output_name are those of the later job too."""

    file: Path
    line: int
    same: bool

    def problem(self, file: Path, job: FileJob) -> Problem:
        """What is wrong with the later one of `file`."""
        return Problem(
            str(file),
            job.line,
            "request_id",
            f"{shown(job.spec.request_id)} stands in {self.file} on line {self.line} too, with other content; "
            "give each job its own",
        )


class FirstPlaces:
    """The first place of each name that it is asked about."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[Path, int, str]] = {}

    def before(self, file: Path, job: FileJob) -> Earlier | None:
        """Where this name stood first; None when it is here."""
        identity = identity_of(job.spec)
        seen = self._first.get(job.spec.request_id)
        if seen is None:
            self._first[job.spec.request_id] = (file, job.line, identity)
            return None
        first, line, content = seen
        return Earlier(first, line, same=content == identity)
