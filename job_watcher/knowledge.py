"""What the leader knows of the price of things: measured seconds and dollars, and which jobs press. Read now and then.

The conductor asks before each decision; what is a few seconds old is good enough, so most answers cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.redisqueue import measures, quota
from lib.redisqueue.urgent import Deadlines
from lib.routing.estimates import Estimates, averages
from lib.routing.view import BACKENDS, Estimate, Urgent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.clock import Clock
    from lib.redisqueue.queue import Queue
    from lib.routing.quote import Taking

REFRESH_SECONDS: Final = 10.0
"""Measurements move slowly."""

CLOSINGS_SECONDS: Final = 1.0
"""A watcher that asks hears of a closing at once; the conductor only stops sending jobs to wait for it."""

_MICRO: Final = 1_000_000


@dataclass(slots=True)
class Knowledge:
    """`price` says dollars of (task, input tokens, output tokens) on the cloud, `models` its model by capability."""

    queue: Queue
    clock: Clock
    price: Callable[[str, float, float], float]
    models: Mapping[str, str] = field(default_factory=dict)
    by_class: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)
    _deadlines: Deadlines = field(init=False)
    _estimates: Estimates | None = None
    _read_at: float = float("-inf")
    _looked_at: float = float("-inf")
    _closed_until: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._deadlines = Deadlines(self.queue)

    async def refresh(self, *, cloud: bool = True) -> None:
        """Read what was measured, if the last time is a while ago; with `cloud` also what its API has closed."""
        now = self.clock.elapsed()
        if cloud and now - self._looked_at >= CLOSINGS_SECONDS:
            pools = await quota.pools(self.queue)
            self._looked_at = now
            self._closed_until = {
                capability: now + min((view.closed_ms for view in pools if view.pool.model == model), default=0) / 1000
                for capability, model in self.models.items()
            }
        if now - self._read_at < REFRESH_SECONDS:
            return
        measured = await measures.read(self.queue)
        self._read_at = now
        self._estimates = Estimates(measured, self.price)
        guessed = {("cloud", "text_model"): self._estimates.taking("annotate", "cloud", 1.0)}
        self.by_class = {key: _estimate(taking) for key, taking in {**guessed, **averages(measured)}.items()}

    def closed(self) -> dict[str, int]:
        """For how many ms the API is closed, by capability; only those that are."""
        left = {name: round((until - self.clock.elapsed()) * 1000) for name, until in self._closed_until.items()}
        return {name: ms for name, ms in left.items() if ms > 0}

    async def urgent(self) -> tuple[Urgent, ...]:
        """The waiting jobs with a deadline, and what each takes wherever it may run."""
        estimates = self._estimates or Estimates({}, self.price)
        return tuple(
            Urgent(
                job.request_id,
                job.intake,
                job.deadline_ms,
                {backend: _estimate(estimates.taking(job.task, backend, job.size)) for backend in BACKENDS},
            )
            for job in await self._deadlines.waiting()
        )


def _estimate(taking: Taking) -> Estimate:
    return Estimate(taking.p50, taking.p90, round(taking.usd * _MICRO), round(taking.usd_most * _MICRO))
