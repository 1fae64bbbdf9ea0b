"""The command line of a child and of its minder: two descriptors and whether the job is a suspect."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CHILD_MODULE = "job_watcher.child.main"
MINDER_MODULE = "job_watcher.child.minder"


@dataclass(frozen=True, slots=True)
class ChildArguments:
    """`wire` is a connected socket, `lifeline` the read end of a pipe; both inherited."""

    wire: int
    lifeline: int
    suspect: bool

    def command(self, module: str) -> list[str]:
        """What to execute.

        -P: the child imports from where its parent imports (PYTHONPATH says so), not also from the directory
        that it happens to be started in.
        """
        return [sys.executable, "-P", "-m", module, str(self.wire), str(self.lifeline), str(int(self.suspect))]

    @classmethod
    def parse(cls, argv: Sequence[str]) -> ChildArguments:
        """The other way round; the parent is this program, so a wrong list is a bug and raises ValueError."""
        wire, lifeline, suspect = (int(part) for part in argv)
        return cls(wire, lifeline, bool(suspect))
