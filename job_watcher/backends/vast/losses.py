"""Jobs that take their machine down: a driver that hangs, a kernel that ends sshd. Counted in this process alone.

A machine that is lost counts against none of its jobs: most are taken away, or their line breaks. A job under which one
after the other is lost would be tried without end, and pay for a start-up each time, so from some number on each loss
is its crash, and it ends as poison like any job that kills what runs it. Called by the backend.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease

CHANCE_MOST: Final = 5
"""So many losses of machines under one job may be chance: who bids low is outbid now and then."""

_REMEMBERED: Final = 1000
"""Jobs; those that lost a machine last."""


class Losses:
    """How many machines were lost while the body of a job was at work on them."""

    def __init__(self) -> None:
        self._lost: OrderedDict[tuple[str, str], int] = OrderedDict()

    def note(self, lease: Lease) -> int:
        """One more; how many by now."""
        name = lease.request_id, lease.generation
        count = self._lost.pop(name, 0) + 1
        self._lost[name] = count
        while len(self._lost) > _REMEMBERED:
            self._lost.popitem(last=False)
        return count

    def forget(self, lease: Lease) -> None:
        """It has got through."""
        self._lost.pop((lease.request_id, lease.generation), None)
