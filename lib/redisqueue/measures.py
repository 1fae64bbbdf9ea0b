"""What jobs took: seconds and money by task, backend and size, the longer the better known. Lives in the queue.

A plan's quote and the conductor's estimates read it; `job_watcher.measuring` adds to it. Figures are per unit of size
(`lib.job_sizes`), within sizes that are alike: a long text is not a short one, many times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.job_sizes import size_bucket
from lib.money import MICRO
from lib.redisqueue.connection import as_text, edge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.redisqueue.queue import Queue

Group = tuple[str, str, int]
"""(task, backend, bucket of its size)."""

HALVE_AT: Final = 400
"""So many jobs say enough: from then on they count for half, so that a machine that has become faster is believed."""

_STEPS_A_DOUBLING: Final = 8
"""So fine is the scale of seconds: a figure read from it is off by 4.4 % at most."""

_LEAST_SECONDS: Final = 1e-9


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


async def add(queue: Queue, samples: Sequence[Sample]) -> None:
    """Add what jobs took; one round trip for up to a batch of them."""
    rows = [_row(sample) for sample in samples if sample.size > 0]
    if rows:
        await queue.scripts.call("measure", rows=rows, halve_at=HALVE_AT)


def _row(sample: Sample) -> tuple[str, int, str, str]:
    group = f"{sample.task}|{sample.backend}|{size_bucket(sample.size)}"
    seconds = max(sample.seconds / sample.size, _LEAST_SECONDS)
    step = math.floor(math.log2(seconds) * _STEPS_A_DOUBLING)
    return group, step, repr(seconds), repr(sample.micro / sample.size)


async def read(queue: Queue) -> Mapping[Group, Measured]:
    """Everything that is known; what somebody else wrote there is left out."""
    async with edge(queue.url):
        fields: Any = await queue.client.hgetall(queue.keys.of("measures"))
    found: dict[Group, Measured] = {}
    for name, raw in fields.items():
        try:
            task, backend, bucket = as_text(name).rsplit("|", 2)
            found[task, backend, int(bucket)] = _measured(as_text(raw))
        except (ArithmeticError, ValueError):
            continue
    return found


def _measured(raw: str) -> Measured:
    count, seconds, micro, most, steps = raw.split("|")
    falls = sorted((int(step), float(many)) for step, _, many in (each.partition(":") for each in steps.split(",")))
    jobs = float(count)
    return Measured(
        count=max(1, round(jobs)),
        p50=_share_below(0.5, falls),
        p90=_share_below(0.9, falls),
        mean=float(seconds) / jobs,
        usd_mean=float(micro) / jobs / MICRO,
        usd_max=float(most) / MICRO,
    )


def _share_below(share: float, falls: list[tuple[int, float]]) -> float:
    """The middle of the step below which this share of all lies."""
    wanted = share * sum(many for _, many in falls)
    reached = falls[0][0]
    for step, many in falls:
        reached = step
        wanted -= many
        if wanted <= 0:
            break
    return float(2 ** ((reached + 0.5) / _STEPS_A_DOUBLING))
