"""What jobs took: seconds and money by task, backend and size, the longer the better known. Lives in the queue.

A plan's quote and the conductor's estimates read it; `job_watcher.measuring` adds to it. Figures are per unit of size
(`lib.jobqueue.sizes`), within sizes that are alike: a short text is not a long one, cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.redisqueue.queue import Queue

Group = tuple[str, str, int]
"""(task, backend, bucket of its size)."""

_BUCKETS: Final = (-7, 40)
"""From under a hundredth to a million million: what is beyond is counted with the last."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One job that ended well: its whole size, seconds and money in millionths of a dollar."""

    task: str
    backend: str
    size: float
    seconds: float
    micro: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one group: seconds and dollars of one unit of size; `count` jobs say so."""

    count: int
    p50: float
    p90: float
    mean: float
    usd_mean: float
    usd_max: float


def size_bucket(size: float) -> int:
    """Which sizes are alike: those between a power of two and the next."""
    if not size > 0:
        return _BUCKETS[0]
    return min(max(math.frexp(size)[1] - 1, _BUCKETS[0]), _BUCKETS[1])


async def read(queue: Queue) -> Mapping[Group, Measured]:
    """Everything that is known."""
    raise NotImplementedError


async def add(queue: Queue, samples: Sequence[Sample]) -> None:
    """Add what jobs took; one round trip for all of them."""
    raise NotImplementedError
