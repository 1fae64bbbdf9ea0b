"""What waits that a rented machine could do, and who else works on it: read from the queue, for the decision to rent.

Jobs are taken to be average ones of their class; what they take is what was measured, else what is built in. It reads
lengths and the oldest entry of each intake, and of the jobs only the deadlines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from lib.job_rate import jobs_in_window
from lib.market.deciding import Capacity, Demand, Waiting
from lib.money import MICRO
from lib.redisqueue import measures, sessions
from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import LaneName, parse_intake, parse_lane
from lib.redisqueue.urgent import Deadlines
from lib.routing.estimates import Estimates, averages
from lib.routing.view import FREE, RENTED, RENTED_CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lib.clock import Clock
    from lib.jobqueue.moves import LiveWatcher
    from lib.redisqueue.queue import Queue
    from lib.routing.quoted import Taking
    from lib.settings import Settings

USUAL_CHARACTERS: Final = 500
"""Of a job of which nothing is known: half a minute of speech."""

REFRESH_SECONDS: Final = 10.0

PARTS_MOST: Final = 8
"""Deadlines of one intake are told apart by so many steps at most: a decision plays all of them out."""


@dataclass(slots=True)
class Lookout:
    """Looks again and again; measurements are read now and then. `price` as `lib.wiring.cloud_price` makes it."""

    queue: Queue
    clock: Clock
    settings: Settings
    price: Callable[[str, float, float], float]
    _measured: Mapping[tuple[str, str], Taking] = field(default_factory=dict)
    _estimates: Estimates | None = None
    _read_at: float = float("-inf")
    _busy_at: float | None = None
    _deadlines: Deadlines = field(init=False)

    def __post_init__(self) -> None:
        self._deadlines = Deadlines(self.queue)

    async def look(self) -> Demand:
        """Everything at this moment."""
        await self._refresh()
        await self.queue.refresh_streams()
        intakes = [name for name in self.queue.intakes if _could_run(name)]
        roster = await sessions.roster(self.queue)
        seconds, heads, lengths = await self._lengths(intakes)
        there = [name for name in intakes if lengths[name] > 0]
        dated = await self._dated(there, seconds) if there else {}
        waiting = [
            replace(self._waiting(name, lengths[name], roster), jobs=jobs, deadline=deadline)
            for name in there
            for jobs, deadline in _parts(lengths[name], dated.get(name, []))
        ]
        held = sum(lengths.get(str(LaneName(RENTED, each)), 0) for each in RENTED_CAPABILITIES)
        now = self.clock.elapsed()
        if waiting or held or self._busy_at is None:
            self._busy_at = now
        return Demand(
            now=seconds,
            waiting=tuple(sorted(waiting, key=lambda each: each.metal is not None)),
            oldest=max([0.0, *(seconds - head for head in heads)]),
            held=held,
            held_seconds=self._taking(RENTED, "speech").mean,
            quiet=now - self._busy_at,
            metal=self._capacity("metal", roster, lengths),
            cloud=self._capacity("cloud", roster, lengths),
        )

    async def _dated(self, intakes: Sequence[str], now: float) -> dict[str, list[float]]:
        """By intake in how many seconds the jobs there are due that have a deadline, the nearest first."""
        found: dict[str, list[float]] = {}
        wanted = frozenset(intakes)
        for job in await self._deadlines.waiting(wanted.__contains__):
            found.setdefault(job.intake, []).append(max(0.0, job.deadline_ms / 1000 - now))
        return {name: sorted(dues) for name, dues in found.items()}

    async def _refresh(self) -> None:
        now = self.clock.elapsed()
        if self._estimates is None or now - self._read_at >= REFRESH_SECONDS:
            found = await measures.read(self.queue)
            self._measured = averages(found)
            self._estimates = Estimates(found, self.price)
            self._read_at = now

    async def _lengths(self, intakes: Sequence[str]) -> tuple[float, list[float], dict[str, int]]:
        """The server's Unix time, when the oldest entry of each intake came, and how long each stream is."""
        names = [*intakes, *self.queue.lanes]
        async with edge(self.queue.url):
            pipe = self.queue.client.pipeline(transaction=False)
            pipe.time()
            for name in names:
                pipe.xlen(self.queue.keys.stream(name))
            for name in intakes:
                pipe.xrange(self.queue.keys.stream(name), count=1)
            (seconds, micros), *rest = await pipe.execute()
        lengths = dict(zip(names, map(int, rest[: len(names)]), strict=True))
        pages: list[Any] = rest[len(names) :]
        heads = [int(as_text(page[0][0]).partition("-")[0]) / 1000 for page in pages if page]
        return int(seconds) + int(micros) / 1e6, heads, lengths

    def _waiting(self, name: str, jobs: int, roster: Sequence[LiveWatcher]) -> Waiting:
        place = parse_intake(name)
        metal = self._where("metal", place.capability, place.pin, roster)
        cloud = self._where("cloud", place.capability, place.pin, roster)
        return Waiting(
            jobs=jobs,
            rented=self._taking(RENTED, place.capability).mean,
            metal=None if metal is None else metal.mean,
            cloud=None if cloud is None else cloud.mean,
            cloud_price=0 if cloud is None else round(cloud.usd * MICRO),
        )

    def _where(self, backend: str, capability: str, pin: str, roster: Sequence[LiveWatcher]) -> Taking | None:
        """What one takes there; None where it may not run there, or nobody alive offers it."""
        if pin not in {"", backend} or not any(each.slots_for(backend, capability) for each in roster):
            return None
        return self._taking(backend, capability)

    def _taking(self, backend: str, capability: str) -> Taking:
        known = self._measured.get((backend, capability))
        if known is None and backend == RENTED:
            # Of a machine that was never used it is not assumed that it is faster than the one at hand.
            known = self._measured.get((FREE, capability))
        if known is not None or self._estimates is None:
            return known or Estimates({}, self.price).taking("speak", backend, USUAL_CHARACTERS)
        return self._estimates.taking("speak", backend, USUAL_CHARACTERS)

    def _capacity(self, backend: str, roster: Sequence[LiveWatcher], lengths: Mapping[str, int]) -> Capacity:
        slots = sum(max((each.slots_for(backend, need) for need in RENTED_CAPABILITIES), default=0) for each in roster)
        held = {name: count for name, count in lengths.items() if name in self.queue.lanes and count}
        ahead = sum(
            count * self._taking(backend, lane.capability).mean
            for name, count in held.items()
            if (lane := parse_lane(name)).backend == backend
        )
        rate = None
        if backend == "cloud":
            jobs, window_ms = jobs_in_window(self.settings.cloud_tokens_per_min)
            rate = jobs / window_ms * 1000
        return Capacity(slots=slots, busy=ahead / slots if slots else 0.0, per_second=rate)


def _parts(jobs: int, dues: Sequence[float]) -> list[tuple[int, float | None]]:
    """So many jobs in parts with one deadline each, the nearest of the part; those that have none come last."""
    size = max(1, -(-len(dues) // PARTS_MOST))
    parts: list[tuple[int, float | None]] = [
        (len(dues[begin : begin + size]), dues[begin]) for begin in range(0, len(dues), size)
    ]
    rest = jobs - len(dues)
    return [*parts, (rest, None)] if rest > 0 else parts


def _could_run(name: str) -> bool:
    place = parse_intake(name)
    return place.capability in RENTED_CAPABILITIES and place.pin in {"", RENTED}
