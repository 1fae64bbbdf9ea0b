"""The slow, exact way to deal jobs out: each by itself, to where it can go first. The quick way is held against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.routing.filling import Allowance, Length


@dataclass(slots=True)
class ExactPool:
    """The slots of one backend."""

    free: list[float]
    waiting: float = 0.0
    allowances: tuple[Allowance, ...] = ()
    used: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.used = [0.0] * len(self.allowances)

    def first(self, length: Length) -> float:
        """When the next such job could be handed over."""
        return max(0.0, self.granted(length.uses), min(self.free) - self.waiting * length.filling)

    def granted(self, uses: Mapping[str, float]) -> float:
        """When every allowance has enough for one more."""
        return max(
            (
                allowance.when(used + uses.get(allowance.kind, 0.0))
                for allowance, used in zip(self.allowances, self.used, strict=True)
                if uses.get(allowance.kind, 0.0) > 0
            ),
            default=0.0,
        )

    def take(self, length: Length) -> float:
        """One job more; when it ends."""
        slot = self.free.index(min(self.free))
        end = max(self.free[slot], self.granted(length.uses)) + length.filling
        for place, allowance in enumerate(self.allowances):
            self.used[place] += length.uses.get(allowance.kind, 0.0)
        self.free[slot] = end
        return end


def deal_one_by_one(count: int, choices: Sequence[tuple[ExactPool, Length]]) -> tuple[list[int], float]:
    """As `filling.deal`."""
    shares, last = [0] * len(choices), 0.0
    for _ in range(count):
        place = min(range(len(choices)), key=lambda i: (round(choices[i][0].first(choices[i][1]), 6), i))
        pool, length = choices[place]
        shares[place] += 1
        last = max(last, pool.take(length))
    return shares, last
