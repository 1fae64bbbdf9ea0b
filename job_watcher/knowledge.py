"""What the leader knows of the price of things: measured seconds and dollars, and which jobs press. Read now and then.

The conductor asks before each decision; what is a few seconds old is good enough, so most answers cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.money import MICRO
from lib.redisqueue import measures, quota
from lib.redisqueue.keys import parse_intake
from lib.redisqueue.urgent import Deadlines
from lib.routing.estimates import Estimates, averages
from lib.routing.view import BACKENDS, Estimate, Urgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lib.clock import Clock
    from lib.jobqueue.moves import LiveWatcher
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.urgent import Pressing
    from lib.routing.estimates import Figures
    from lib.routing.quoted import Taking

REFRESH_SECONDS: Final = 10.0
"""Measurements move slowly."""

_PAID_FOR: Final = {"text_model": ("annotate", 1.0), "speaker": ("speak", 500.0)}
"""A usual job of each class that the cloud is paid for, with its size: what it may cost before one was measured."""

CLOSINGS_SECONDS: Final = 1.0
"""A watcher that asks hears of a closing at once; the conductor only stops sending jobs to wait for it."""


@dataclass(slots=True)
class Knowledge:
    """`price` says dollars of (task, input tokens, output tokens) on the cloud, `models` its model by capability."""

    queue: Queue
    clock: Clock
    price: Callable[[str, float, float], float]
    models: Mapping[str, str] = field(default_factory=dict)
    by_class: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)
    _deadlines: Deadlines = field(init=False)
    _estimates: Estimates = field(init=False)
    _pressing: dict[str, tuple[Pressing, Urgent]] = field(default_factory=dict)
    _read_at: float = float("-inf")
    _looked_at: float = float("-inf")
    _closed_until: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._deadlines = Deadlines(self.queue)
        self._measured({})

    async def refresh(self, *, cloud: bool = True) -> None:
        """Read what was measured, if the last time is a while ago; with `cloud` also what its API has closed."""
        now = self.clock.elapsed()
        if cloud and now - self._looked_at >= CLOSINGS_SECONDS:
            closed = quota.closings(await quota.pools(self.queue))
            self._looked_at = now
            self._closed_until = {
                capability: now + closed[model].shut_ms / 1000
                for capability, model in self.models.items()
                if model in closed
            }
        if now - self._read_at < REFRESH_SECONDS:
            return
        self._measured(await measures.read(self.queue))
        self._read_at = now

    def _measured(self, measured: Mapping[tuple[str, str, int], Figures]) -> None:
        self._estimates = Estimates(measured, self.price)
        self._pressing = {}
        guessed = {
            ("cloud", capability): self._estimates.taking(task, "cloud", size)
            for capability, (task, size) in _PAID_FOR.items()
        }
        self.by_class = {key: _estimate(taking) for key, taking in {**guessed, **averages(measured)}.items()}

    def closed(self) -> dict[str, int]:
        """For how many ms the API is closed, by capability; only those that are."""
        left = {name: round((until - self.clock.elapsed()) * 1000) for name, until in self._closed_until.items()}
        return {name: ms for name, ms in left.items() if ms > 0}

    async def urgent(self, minded: Callable[[str], bool] = lambda _: True) -> tuple[Urgent, ...]:
        """The waiting jobs with a deadline in the `minded` intakes, and what each takes wherever it may run."""
        found: dict[str, tuple[Pressing, Urgent]] = {}
        for job in await self._deadlines.waiting(minded):
            known = self._pressing.get(job.request_id)
            # The same object as long as nothing about it has changed.
            found[job.request_id] = known if known is not None and known[0] is job else (job, self._takes(job))
        self._pressing = found
        return tuple(urgent for _, urgent in found.values())

    def _takes(self, job: Pressing) -> Urgent:
        takes = {backend: _estimate(self._estimates.taking(job.task, backend, job.size)) for backend in BACKENDS}
        return Urgent(job.request_id, job.intake, job.deadline_ms, takes)


def _estimate(taking: Taking) -> Estimate:
    return Estimate(taking.p50, taking.p90, round(taking.usd * MICRO), round(taking.usd_most * MICRO))


def runnable(intake: str, watchers: Iterable[LiveWatcher]) -> bool:
    """Whether one of them could ever run the jobs of this intake."""
    place = parse_intake(intake)
    backends = (place.pin,) if place.pin else BACKENDS
    return any(watcher.slots_for(backend, place.capability) for watcher in watchers for backend in backends)
