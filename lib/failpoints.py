"""Named places where a test can make this process die as if the power had gone.

A failpoint does nothing unless `JOB_RUNNER_FAILPOINT` names it: `commit.before` dies the first time that place
is reached, `commit.before:3` the third time. Only crash tests set it; it exists so that they can kill a
real watcher between two exact steps.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "JOB_RUNNER_FAILPOINT"

_visits: dict[str, int] = {}
_armed = os.environ.get(VARIABLE, "")
"""Read once: a job comes by a dozen places."""


def arm(place: str) -> None:
    """As the variable does, for a process that was forked after this module had been loaded."""
    global _armed  # noqa: PLW0603 - a process has one
    _armed = place


def reach(place: str) -> None:
    """SIGKILL this process if `place` is armed and its turn has come."""
    if not _armed:
        return
    name, _, turn = _armed.partition(":")
    if name != place:
        return
    _visits[place] = _visits.get(place, 0) + 1
    if _visits[place] >= int(turn or 1):
        os.kill(os.getpid(), signal.SIGKILL)
