"""Fleets of several watchers on one queue and the fake market."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from job_watcher.backends.vast.demand import Lookout
from job_watcher.backends.vast.fleet import Fleet
from job_watcher.backends.vast.hands import Means
from lib import wiring
from lib.clock import SystemClock
from lib.redisqueue import sessions
from lib.renting.shopping import Shopping
from tests.lib.renting.renters import adapter
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.fakes.vast_server import FakeVast
    from tests.job_watcher.watching import Stand


@dataclass
class Offered:
    """The slots of a heartbeat."""

    slots: dict[str, int] = field(default_factory=lambda: {"vast": 128})


@dataclass
class Standing:
    """A session that is registered and stands as the test says."""

    id: str
    fresh: bool = True
    offer: Offered = field(default_factory=Offered)


class Crew:
    """Fleets of several watchers on one queue."""

    def __init__(self, stand: Stand, fake: FakeVast) -> None:
        self.stand, self.fake = stand, fake
        self.fleets: list[Fleet] = []
        self.heard: list[str] = []

    async def fleet(self, name: str = "w", **settings: str) -> Fleet:
        """One with a session."""
        given = {"VAST_API_KEY": "k" * 32, "BUDGET_PER_DAY_USD": "10", "VAST_DISK": "10", **settings}
        known = self.stand.settings(**{key: value for key, value in given.items() if value})
        clock, queue = SystemClock(), self.stand.queue
        markets = {"vast": adapter(self.fake)}
        made = Fleet(
            known,
            queue,
            clock,
            markets,
            Means.of(known, wiring.voices(known), None, clock),
            Lookout(queue, clock, known, wiring.cloud_price(known)),
            Shopping(known, queue, clock, markets),
        )
        made.begin(await self.session(name), lambda: self.heard.append(name))  # type: ignore[arg-type]  # what of a session is asked
        self.fleets.append(made)
        return made

    async def session(self, name: str) -> Standing:
        """Registered for a minute."""
        session = f"{name}:{len(self.fleets)}"
        beat = b'"capabilities":[],"slots":{},"running":0,"version":"0"}'
        await sessions.open_session(self.stand.queue, session, name=name, previous="", life_ms=60_000, heartbeat=beat)
        return Standing(session)

    async def wait_for_rent(self, fleet: Fleet) -> Any:
        """Rounds until the market has made one."""

        async def rented() -> Any:
            await fleet.run_once()
            return self.fake.living

        return (await wait_until(rented))[-1]

    async def aclose(self) -> None:
        """End what they do; what they rented is the fixture's to end."""
        for each in self.fleets:
            await each.aclose()


def speech(request_id: str) -> dict[str, str]:
    """A short one."""
    return {"request_id": request_id, "task": "speak", "text": "A word.", "voice": "newsroom"}
