"""When jobs end that are dealt out to slots one after the other: reckoned for equal jobs together, never one by one.

Each job goes where it can be handed over first, to the free machine where that is no later, as the conductor deals.
What is equal is laid on the slots in one step, so that a hundred thousand jobs take no longer than a hundred. It knows
no prices and no policies; `quote` calls it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from math import ceil, floor, inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEVER: Final = inf
_LEAST_SECONDS: Final = 1e-3
"""Jobs of no length at all would never fill a slot."""

_LATEST: Final = 100 * 365 * 86_400.0
_STEPS: Final = 100
_HAIR: Final = 1e-9
"""Times of this much difference are the same: they were added up in another order."""


@dataclass(frozen=True, slots=True)
class Ration:
    """A limit that comes in windows: `left` now, and `amount` more at `first` and every `every` seconds from then on.

    `kind` says what of a job uses it up: `jobs`, `requests`, `tokens` or `usd`.
    """

    kind: str
    amount: float
    every: float
    left: float
    first: float

    def granted(self, time: float) -> float:
        """All that was there to be used up to this time."""
        if time < self.first:
            return self.left
        return self.left + self.amount * (floor((time - self.first) / self.every + _HAIR) + 1)

    def when(self, wanted: float) -> float:
        """The first time at which so much had been granted in all."""
        missing = wanted - self.left
        if missing <= _HAIR * wanted:
            return 0.0
        if self.amount <= 0:
            return NEVER
        return self.first + self.every * (ceil(missing / self.amount - _HAIR) - 1)


@dataclass(slots=True)
class Calendar:
    """The slots of one backend: when each is free next, in seconds, and what jobs there use up.

    `waiting` is how many jobs a slot may have waiting before it, which are bound to it however free another is.
    """

    free: list[float]
    waiting: float = 0.0
    rations: tuple[Ration, ...] = ()
    _used: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._used = [0.0] * len(self.rations)

    def handed(self, time: float, seconds: float, uses: Mapping[str, float]) -> float:
        """How many jobs of this length it can have been handed by this time."""
        until = time + self.waiting * seconds
        found: float = sum(floor((until - free) / seconds + _HAIR) + 1 for free in self.free if free <= until + _HAIR)
        for ration, used in zip(self.rations, self._used, strict=True):
            use = uses.get(ration.kind, 0.0)
            if use > 0:
                rest = ration.granted(time) - used
                found = min(found, max(0, floor(rest / use + _HAIR)))
        return found

    def take(self, count: int, seconds: float, uses: Mapping[str, float]) -> float:
        """Lay so many jobs on the slots; when the last of them ends."""
        if count < 1:
            return 0.0
        granted = 0.0
        for place, ration in enumerate(self.rations):
            use = uses.get(ration.kind, 0.0)
            if use > 0:
                self._used[place] += count * use
                granted = max(granted, ration.when(self._used[place]))
        return max(_lay(self.free, count, seconds), granted + seconds)

    def ends_by(self, deadline: float, seconds: float, uses: Mapping[str, float]) -> int:
        """How many jobs of this length it can have ended by then."""
        last = deadline - seconds
        if last < 0:
            return 0
        found: float = sum(floor((last - free) / seconds + _HAIR) + 1 for free in self.free if free <= last + _HAIR)
        return int(min(found, self.handed(last, seconds, uses)))


@dataclass(frozen=True, slots=True)
class Length:
    """What a job of a kind takes on one backend: seconds, and what it uses up of each kind of ration."""

    seconds: float
    uses: Mapping[str, float] = field(default_factory=dict)

    @property
    def filling(self) -> float:
        """The seconds, never none."""
        return max(self.seconds, _LEAST_SECONDS)


def hand_out(count: int, choices: Sequence[tuple[Calendar, Length]]) -> tuple[list[int], float]:
    """Hand so many equal jobs out to these calendars, each to where it can go first, an earlier one before a later one.

    Answers how many went to each and when the last of them ends: NEVER when some can never go anywhere.
    """
    shares = [count] if len(choices) == 1 else _shares(count, choices)
    if sum(shares) < count:
        return shares, NEVER
    return shares, max(
        calendar.take(share, length.filling, length.uses)
        for share, (calendar, length) in zip(shares, choices, strict=True)
    )


def _shares(count: int, choices: Sequence[tuple[Calendar, Length]]) -> list[int]:
    def handed(time: float) -> list[float]:
        return [calendar.handed(time, length.filling, length.uses) for calendar, length in choices]

    low, high = 0.0, 1.0
    while sum(handed(high)) < count:
        if high > _LATEST:
            return [0] * len(choices)
        low, high = high, high * 2
    if sum(handed(0.0)) >= count:
        high = 0.0
    for _ in range(_STEPS):
        if high - low <= _HAIR * max(1.0, high):
            break
        middle = (low + high) / 2
        if sum(handed(middle)) < count:
            low = middle
        else:
            high = middle
    found = [int(min(count, share)) for share in handed(high)]
    before = [0.0] * len(choices) if high == 0 else handed(low)
    # Several become possible at the same moment: the later calendars go without first.
    for place in reversed(range(len(found))):
        over = sum(found) - count
        found[place] -= min(over, int(found[place] - min(found[place], before[place])))
    return found


def _lay(free: list[float], count: int, seconds: float) -> float:
    """The same as giving each of `count` jobs to the slot that is free first; when the last of them ends.

    Up to a level all slots are filled in one step: of what greedy dealing would give them that is all but the last
    job or so. The rest is dealt out one by one.
    """
    level = _level(free, count * seconds)
    last, given = 0.0, 0
    for i, begin in enumerate(free):
        jobs = max(0, floor((level - begin) / seconds - _HAIR))
        if jobs:
            given += jobs
            free[i] = begin + jobs * seconds
            last = max(last, free[i])
    heapq.heapify(free)
    for _ in range(count - given):
        last = max(last, free[0] + seconds)
        heapq.heapreplace(free, free[0] + seconds)
    return last


def _level(free: Sequence[float], work: float) -> float:
    """How high so many seconds of work stand when they are poured over the slots."""
    ordered = sorted(free)
    for number, begin in enumerate(ordered, start=1):
        work += begin
        level = work / number
        if number == len(ordered) or level <= ordered[number]:
            return level
    raise ValueError("a calendar without a slot")
