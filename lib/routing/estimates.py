"""What a job takes on a backend: by what was measured there, else by an estimate that is built in. Pure.

Figures grow with the size of the job (`lib.job_sizes`) and are kept for sizes that are alike. Where none of that
size was measured, the nearest size of the same task and backend answers, with less certainty. `quoting` foretells with
it, and the status its ETA.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from lib.job_sizes import size_bucket
from lib.routing.quoted import Taking
from lib.routing.view import METERED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Source = Literal["measured", "built-in", "mixed"]

JOB_SECONDS: Final = 0.2
"""Leasing, storing, checking and committing: what a job takes beside its work."""

SPEECH_SECONDS_PER_CHARACTER: Final = 0.002
"""Some 15 characters are a second of speech, made at 0.03 of real time on one slow core."""

_TOKENS_PER_CHARACTER: Final = 0.25
_SPEECH_TOKENS_PER_CHARACTER: Final = 1.7
"""Speech of a second is 25 tokens, or some 15 characters."""


class Figures(Protocol):
    """What was measured of a group of jobs, per unit of size; `lib.redisqueue.measures.Measured` is one."""

    @property
    def count(self) -> int:
        """How many jobs say so."""

    @property
    def p50(self) -> float:
        """Seconds."""

    @property
    def p90(self) -> float:
        """Seconds."""

    @property
    def mean(self) -> float:
        """Seconds."""

    @property
    def usd_mean(self) -> float:
        """Dollars."""

    @property
    def usd_max(self) -> float:
        """Dollars."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """Seconds of a job and of a unit of size, how many times as long nine of ten take, and what is asked of an API."""

    job: float
    unit: float = 0.0
    spread: float = 2.0
    requests: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0


_METAL: Final[Mapping[str, _Guess]] = {
    "speak": _Guess(JOB_SECONDS, SPEECH_SECONDS_PER_CHARACTER),
    "sleep": _Guess(JOB_SECONDS, 1.0, spread=1.05),
    "sleep_crud": _Guess(JOB_SECONDS, 1.0, spread=1.05),
    "annotate": _Guess(JOB_SECONDS, 5.0),
}
_CLOUD: Final[Mapping[str, _Guess]] = {
    **_METAL,
    "speak": _Guess(
        2.0, 0.03, tokens_in=_TOKENS_PER_CHARACTER, tokens_out=_SPEECH_TOKENS_PER_CHARACTER, requests=1 / 500
    ),
    "annotate": _Guess(JOB_SECONDS, 2.0, requests=1.0, tokens_in=700.0, tokens_out=200.0),
}
_OTHER: Final = _Guess(JOB_SECONDS)
_CALL_WORST: Final = 2.0
"""A call of unknown length may cost so many times what is expected."""

_TRUST_AT: Final = 30
"""From so many jobs on their mean says more than their median: of few, one that loaded a model first outweighs all."""

_LEAST_REQUESTS: Final[Mapping[str, float]] = {"speak": 1.0, "annotate": 1.0}


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of one task on one backend at sizes that are alike: seconds and dollars a job and a unit."""

    guess: _Guess
    figures: Figures | None
    near: bool
    usd: float

    def expected(self, size: float) -> tuple[float, float]:
        """Seconds and dollars of a job of this size, on the average."""
        found = self.figures
        if found is None:
            return self.guess.job + self.guess.unit * size, self.usd * size
        return middle_of(found) * size, found.usd_mean * size

    def job(self, size: float, least_requests: float) -> Taking:
        """All that is known of a job of this size."""
        guess, found = self.guess, self.figures
        requests = max(least_requests, guess.requests * size) if guess.requests else 0.0
        tokens = (guess.tokens_in + guess.tokens_out) * size
        if found is None:
            seconds, usd = self.expected(size)
            return Taking(seconds, seconds * guess.spread, seconds, usd, usd * _CALL_WORST, 0, requests, tokens)
        samples = found.count if self.near else 1
        return Taking(
            found.p50 * size,
            found.p90 * size,
            middle_of(found) * size,
            found.usd_mean * size,
            found.usd_max * size,
            samples,
            requests,
            tokens,
        )


def middle_of(figures: Figures) -> float:
    """What a unit takes on the average, as far as so many jobs can tell."""
    trust = figures.count / (figures.count + _TRUST_AT)
    return figures.p50 + trust * (figures.mean - figures.p50)


@dataclass(slots=True)
class Estimates:
    """Answers of what jobs take. `price` says dollars of (task, input tokens, output tokens) on the cloud."""

    measured: Mapping[tuple[str, str, int], Figures] = field(default_factory=dict)
    price: Callable[[str, float, float], float] = lambda _task, _in, _out: 0.0
    _kinds: dict[tuple[str, str, int], Kind] = field(default_factory=dict)

    def taking(self, task: str, backend: str, size: float) -> Taking:
        """What a job of this size takes there."""
        return self.kind(task, backend, size_bucket(size)).job(size, _LEAST_REQUESTS.get(task, 0.0))

    @property
    def source(self) -> Source:
        """Where the answers so far came from."""
        measured = {kind.figures is not None for kind in self._kinds.values()}
        if measured == {True, False}:
            return "mixed"
        return "measured" if True in measured else "built-in"

    def kind(self, task: str, backend: str, bucket: int) -> Kind:
        """What is known of such jobs: to be asked once for many."""
        key = (task, backend, bucket)
        kind = self._kinds.get(key)
        if kind is None:
            guess = (_CLOUD if backend in METERED else _METAL).get(task, _OTHER)
            tokens = backend in METERED and guess.requests > 0
            usd = self.price(task, guess.tokens_in, guess.tokens_out) if tokens else 0.0
            nearest = self._nearest(task, backend, bucket)
            figures = None if nearest is None else self.measured[task, backend, nearest]
            kind = self._kinds[key] = Kind(guess, figures, nearest == bucket, usd)
        return kind

    def _nearest(self, task: str, backend: str, bucket: int) -> int | None:
        known = (number for name, where, number in self.measured if (name, where) == (task, backend))
        return min(known, key=lambda number: (abs(number - bucket), number), default=None)


_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {"speak": ("speech", "speaker"), "annotate": ("text_model",)}
"""What the jobs of built-in tasks need that is not `any`, for who must not pay for the catalogue to show an ETA."""


def averages(measured: Mapping[tuple[str, str, int], Figures]) -> dict[tuple[str, str], Taking]:
    """What an average job of a (backend, capability) takes, of those that were measured."""
    found: dict[tuple[str, str], _Average] = {}
    for (task, backend, bucket), figures in measured.items():
        # The middle of the sizes that are alike.
        size = 1.5 * 2.0**bucket if task in _SIZED else 1.0
        for capability in _NEEDS.get(task, ("any",)):
            found.setdefault((backend, capability), _Average()).add(figures, figures.count * size)
    return {key: average.taking() for key, average in found.items() if average.count}


@dataclass(slots=True)
class _Average:
    """Sums over groups, each as heavy as the sizes of its jobs together."""

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    mean: float = 0.0
    usd: float = 0.0
    usd_most: float = 0.0

    def add(self, figures: Figures, weight: float) -> None:
        self.count += figures.count
        self.p50 += weight * figures.p50
        self.p90 += weight * figures.p90
        self.mean += weight * middle_of(figures)
        self.usd += weight * figures.usd_mean
        self.usd_most += weight * figures.usd_max

    def taking(self) -> Taking:
        sums = (self.p50, self.p90, self.mean, self.usd, self.usd_most)
        p50, p90, mean, usd, usd_most = (value / self.count for value in sums)
        return Taking(p50, p90, mean, usd, usd_most, self.count)


_SIZED: Final = frozenset({"speak", "sleep", "sleep_crud", "annotate"})
