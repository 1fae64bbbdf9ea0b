"""What a measure found: pairs of ours and of what it is held against, the ratio of each pair, and a target.

Pure; every measure makes these and `bench.report` shows them. A pair is taken at nearly the same time on the same
server, so a busy machine slows both and the ratio holds where neither figure alone would.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAT_WITHIN: Final = 0.10
"""By how much a thing that does not grow may differ between few jobs and a million."""


@dataclass(frozen=True, slots=True)
class Target:
    """What design asks: the median of `of` is at least, or at most, `at`."""

    of: Literal["ratio", "ours"]
    bound: Literal["at least", "at most"]
    at: float

    def met(self, value: float) -> bool:
        """Whether this median is within the bound."""
        return value >= self.at if self.bound == "at least" else value <= self.at

    def missed_by(self, value: float) -> float | None:
        """By what part of the bound this median is short of it, or over it; None when it is met."""
        return None if self.met(value) else abs(value - self.at) / self.at


def ratio_at_least(at: float) -> Target:
    """Ours is at least `at` times what it is held against."""
    return Target("ratio", "at least", at)


def ratio_at_most(at: float) -> Target:
    """Ours is at most `at` times what it is held against."""
    return Target("ratio", "at most", at)


def at_most(at: float) -> Target:
    """Ours is at most `at`, in the figure's own unit."""
    return Target("ours", "at most", at)


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several runs, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def by(self, other: Spread) -> Spread:
        """The ratio of two that are no pairs."""
        return Spread(self.median / other.median, self.low / other.high, self.high / other.low)

    def document(self) -> dict[str, float]:
        """For the JSON."""
        return {"median": _short(self.median), "low": _short(self.low), "high": _short(self.high)}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report: `ours[i]` and `beside[i]` were measured together, in `unit`.

    `who` is whose figure it is: the queue's own, or a peer's. Without `beside` there is nothing to divide by, which
    only a figure with an absolute target may have. Where the two were measured minutes apart they are no pairs, and
    not `paired`: then medians are divided, and the spread is the widest that the lows and highs allow.
    """

    part: str
    what: str
    unit: str
    ours: tuple[float, ...]
    beside: tuple[float, ...] = ()
    beside_is: str = "raw"
    target: Target | None = None
    note: str = ""
    who: str = "job-runner"
    paired: bool = True

    @property
    def own(self) -> Spread:
        """Of ours, in the figure's unit."""
        return Spread.of(self.ours)

    @property
    def other(self) -> Spread | None:
        """Of what ours is held against."""
        return Spread.of(self.beside) if self.beside else None

    @property
    def ratio(self) -> Spread | None:
        """None where there is nothing to divide by."""
        if not self.paired:
            return self.own.by(Spread.of(self.beside)) if self.beside and all(self.beside) else None
        found = ratios(self.ours, self.beside)
        return Spread.of(found) if found else None

    @property
    def _aimed(self) -> tuple[Target, float] | None:
        """The target, and the median that is held against it."""
        if self.target is None:
            return None
        spread = self.ratio if self.target.of == "ratio" else self.own
        return None if spread is None else (self.target, spread.median)

    @property
    def met(self) -> bool | None:
        """None without a target."""
        aimed = self._aimed
        return None if aimed is None else aimed[0].met(aimed[1])

    @property
    def missed_by(self) -> float | None:
        """By what part of its bound the target was missed; None when it was not."""
        aimed = self._aimed
        return None if aimed is None else aimed[0].missed_by(aimed[1])

    def document(self) -> dict[str, Any]:
        """For the JSON."""
        target = self.target
        return {
            "part": self.part,
            "who": self.who,
            "what": self.what,
            "unit": self.unit,
            "ours": self.own.document(),
            "beside_is": self.beside_is if self.beside else None,
            "beside": self.other.document() if self.other else None,
            "ratio": self.ratio.document() if self.ratio else None,
            "runs": len(self.ours),
            "target": {"of": target.of, "bound": target.bound, "at": target.at} if target else None,
            "met": self.met,
            "missed_by": None if self.missed_by is None else _short(self.missed_by),
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Loss:
    """What a worker's SIGKILL in mid-job cost, once; `recovered_seconds` None when not all had ended in time."""

    who: str
    setting: str
    jobs: int
    in_hand: int
    lost: int
    repeated: int
    recovered_seconds: float | None
    waited_seconds: float
    runs: int = 1

    def document(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "who": self.who,
            "setting": self.setting,
            "jobs": self.jobs,
            "in_hand": self.in_hand,
            "lost": self.lost,
            "repeated": self.repeated,
            "recovered_seconds": None if self.recovered_seconds is None else _short(self.recovered_seconds),
            "waited_seconds": self.waited_seconds,
            "runs": self.runs,
        }


@dataclass(slots=True)
class Found:
    """What one measure, or a whole run, found."""

    figures: list[Figure] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Measure -> why there is no figure of it, or not all."""

    def add(self, other: Found) -> None:
        """Take in what another measure found."""
        self.figures += other.figures
        self.losses += other.losses
        self.failures |= other.failures


def ratios(ours: Sequence[float], beside: Sequence[float]) -> tuple[float, ...]:
    """Pair by pair; empty where nothing, or a nought, stands beside."""
    if not beside or not all(beside):
        return ()
    return tuple(mine / other for mine, other in zip(ours, beside, strict=True))


def rate(count: int, seconds: float) -> float:
    """How many a second."""
    return count / seconds


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of a hundred lie; of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _short(value: float) -> float:
    """Four digits that count: more would claim what no run can tell."""
    return float(f"{value:.4g}")
