"""What rented machines really cost: a meter for each, from the create call to the moment when it is truly gone.

It is the truth that a renter's own books are compared with, so it believes nothing that the renter says. The market's
clock may run faster than the real one, so that hours are billed within a test. Called by `tests.fakes.vast_server`.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR: Final = 3600.0

_STORAGE_ALONE: Final = frozenset({"stopped"})


class MarketClock:
    """Unix seconds of the market: the real ones from its start on, `speed` times as fast."""

    def __init__(self, speed: float = 1.0, now: Callable[[], float] = time.time) -> None:
        self.speed = speed
        self._now = now
        self._began = now()

    def time(self) -> float:
        """Now."""
        return self._began + (self._now() - self._began) * self.speed

    def real(self, seconds: float) -> float:
        """How many real seconds so many of the market's take."""
        return seconds / self.speed


@dataclass(frozen=True, slots=True)
class BillLine:
    """What one instance cost so far: seconds of the market, millionths of a dollar; `ended` is None while it costs."""

    instance: int
    label: str
    account: str
    machine: str
    began: float
    ended: float | None
    seconds: float
    micros: int
    by_status: dict[str, float]

    @property
    def dollars(self) -> float:
        """The same in dollars."""
        return self.micros / 1e6

    def as_json(self) -> dict[str, Any]:
        """For other processes."""
        return {name: getattr(self, name) for name in self.__slots__} | {"dollars": self.dollars}


@dataclass
class Meter:
    """Counts one instance. `dph` and `storage_dph` are dollars an hour; what is stopped pays for its storage alone."""

    instance: int
    label: str
    account: str
    machine: str
    dph: float
    storage_dph: float
    began: float
    ended: float | None = None
    _turns: list[tuple[float, str]] = field(default_factory=list)

    def turn(self, status: str, at: float) -> None:
        """From now on it is in this status."""
        if self.ended is None:
            self._turns.append((at, status))

    def end(self, at: float) -> None:
        """It is gone; whatever is said later changes nothing."""
        if self.ended is None:
            self.ended = at

    def line(self, now: float) -> BillLine:
        """The bill until `now`."""
        until = now if self.ended is None else self.ended
        marks = [*self._turns, (until, "")]
        by_status = dict[str, float]()
        dollars = 0.0
        for (start, status), (stop, _) in itertools.pairwise(marks):
            seconds = max(0.0, min(stop, until) - start)
            by_status[status] = by_status.get(status, 0.0) + seconds
            dph = self.storage_dph + (0.0 if status in _STORAGE_ALONE else self.dph)
            dollars += dph * seconds / HOUR
        return BillLine(
            self.instance,
            self.label,
            self.account,
            self.machine,
            self.began,
            self.ended,
            until - self.began,
            round(dollars * 1e6),
            by_status,
        )


def as_table(lines: list[BillLine]) -> str:
    """The bill for people to read."""
    rows = [
        (
            str(each.instance),
            each.machine,
            "gone" if each.ended is not None else "STILL THERE",
            f"{each.seconds:.1f}",
            f"{each.dollars:.6f}",
            " ".join(f"{status}={seconds:.1f}" for status, seconds in each.by_status.items()),
            each.label,
        )
        for each in lines
    ]
    total = (
        "",
        "",
        "",
        f"{sum(each.seconds for each in lines):.1f}",
        f"{sum(each.micros for each in lines) / 1e6:.6f}",
        "",
        "",
    )
    head = ("instance", "machine", "", "seconds", "dollars", "by status", "label")
    table = [head, *rows, total]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )
