"""Plays out who does what waits: jobs as a fluid that is poured on all that works, from now to the end. Pure.

Called by `lib.market.deciding`, which compares such plays with no, one, two … further machines. A fluid has no whole
jobs, so the end of a few long ones comes out too early, by less than one of them; for a decision over minutes and
hundreds of jobs that is near enough, and it takes no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["metal", "cloud", "rented"]

_NEARLY_NONE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Work:
    """Equal jobs: how many, and what one takes on a slot of each kind, in seconds; a kind that is missing cannot."""

    jobs: float
    seconds: dict[Kind, float]


@dataclass(frozen=True, slots=True)
class Hand:
    """What works from `since` on (seconds from now): so many slots of a kind, at most `per_second` jobs."""

    kind: Kind
    slots: int = 1
    since: float = 0.0
    per_second: float | None = None

    def rate(self, work: Work) -> float:
        """Jobs a second of this work; 0.0: it cannot."""
        seconds = work.seconds.get(self.kind)
        if seconds is None or self.slots < 1:
            return 0.0
        rate = self.slots / max(seconds, _NEARLY_NONE)
        return rate if self.per_second is None else min(rate, self.per_second)


@dataclass(frozen=True, slots=True)
class Play:
    """How it went: when each work ended (infinite: never), and how many jobs of it each hand has done."""

    ends: tuple[float, ...]
    done: tuple[tuple[float, ...], ...]

    @property
    def end(self) -> float:
        """When the last of it has ended."""
        return max(self.ends, default=0.0)


def play(works: Sequence[Work], hands: Sequence[Hand]) -> Play:
    """Each hand takes the first work that is left and that it can do; several share one."""
    left = [work.jobs for work in works]
    ends = [0.0 if work.jobs <= _NEARLY_NONE else inf for work in works]
    done = [[0.0] * len(works) for _ in hands]
    now = 0.0
    while True:
        at = [_taken(hand, works, left) if hand.since <= now else None for hand in hands]
        rates = [0.0] * len(works)
        for hand, index in zip(hands, at, strict=True):
            if index is not None:
                rates[index] += hand.rate(works[index])
        arrivals = [hand.since - now for hand in hands if hand.since > now]
        finishes = [left[index] / rate for index, rate in enumerate(rates) if rate > 0]
        until = min([*finishes, *arrivals], default=inf)
        if until == inf or not any(end == inf for end in ends):
            return Play(tuple(ends), tuple(tuple(row) for row in done))
        for row, hand, index in zip(done, hands, at, strict=True):
            if index is not None:
                row[index] += hand.rate(works[index]) * until
        # The arrival itself, not a sum that may fall short of it by a rounding and never reach it.
        now = min((hand.since for hand in hands if hand.since - now == until), default=now + until)
        for index, rate in enumerate(rates):
            if rate > 0:
                left[index] -= rate * until
                if left[index] <= _NEARLY_NONE * max(1.0, works[index].jobs):
                    left[index], ends[index] = 0.0, now


def _taken(hand: Hand, works: Sequence[Work], left: Sequence[float]) -> int | None:
    return next((index for index, work in enumerate(works) if left[index] > 0 and hand.rate(work) > 0), None)
