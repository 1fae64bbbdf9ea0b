"""The slow, exact way to deal jobs out: each by itself, to where it can go first. The quick way is held against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.routing.filling import Length, Ration


@dataclass(slots=True)
class ExactCalendar:
    """The slots of one backend."""

    free: list[float]
    waiting: float = 0.0
    rations: tuple[Ration, ...] = ()
    used: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.used = [0.0] * len(self.rations)

    def first(self, length: Length) -> float:
        """When the next such job could be handed over."""
        return max(0.0, self.granted(length.uses), min(self.free) - self.waiting * length.filling)

    def granted(self, uses: Mapping[str, float]) -> float:
        """When every ration has enough for one more."""
        return max(
            (
                ration.when(used + uses.get(ration.kind, 0.0))
                for ration, used in zip(self.rations, self.used, strict=True)
                if uses.get(ration.kind, 0.0) > 0
            ),
            default=0.0,
        )

    def take(self, length: Length) -> float:
        """One job more; when it ends."""
        slot = self.free.index(min(self.free))
        end = max(self.free[slot], self.granted(length.uses)) + length.filling
        for place, ration in enumerate(self.rations):
            self.used[place] += length.uses.get(ration.kind, 0.0)
        self.free[slot] = end
        return end


def hand_out_one_by_one(count: int, choices: Sequence[tuple[ExactCalendar, Length]]) -> tuple[list[int], float]:
    """As `filling.hand_out`."""
    shares, last = [0] * len(choices), 0.0
    for _ in range(count):
        place = min(range(len(choices)), key=lambda i: (round(choices[i][0].first(choices[i][1]), 6), i))
        calendar, length = choices[place]
        shares[place] += 1
        last = max(last, calendar.take(length))
    return shares, last
