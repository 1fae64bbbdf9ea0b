"""How big a job is, in the unit in which its time and cost grow: what measurements are kept by.

A unit is a character to speak, a second to sleep, a record to annotate; a job of any other task has size 1. Called by
whoever notes what a job took and whoever foretells it, so that both speak of the same thing.
"""

from __future__ import annotations

from math import frexp
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.jobqueue.spec import JobSpec

LEAST_SLEEP_SECONDS: Final = 0.1
"""A sleep of nothing takes a moment too, and nothing can be had per unit of nothing."""


_BUCKETS: Final = (-7, 40)
"""From under a hundredth to a million million: what is beyond is counted with the last."""


def size_bucket(size: float) -> int:
    """Which sizes are alike: those from a power of two to below the next."""
    if not size > 0:
        return _BUCKETS[0]
    return min(max(frexp(size)[1] - 1, _BUCKETS[0]), _BUCKETS[1])


def size_of(spec: JobSpec) -> float:
    """The size of a job, above 0."""
    if spec.task == "speak":
        return float(max(1, len(spec.text or "")) * spec.variants)
    reckon = _BY_TASK.get(spec.task)
    return reckon(spec.payload) if reckon else 1.0


def _slept(payload: Mapping[str, Any]) -> float:
    seconds = payload.get("seconds")
    return max(LEAST_SLEEP_SECONDS, float(seconds)) if isinstance(seconds, int | float) else LEAST_SLEEP_SECONDS


def _records(payload: Mapping[str, Any]) -> float:
    records = payload.get("records")
    return float(max(1, len(records))) if isinstance(records, list | tuple) else 1.0


_BY_TASK: Final[Mapping[str, Callable[[Mapping[str, Any]], float]]] = {
    "sleep": _slept,
    "sleep_crud": _slept,
    "annotate": _records,
}
