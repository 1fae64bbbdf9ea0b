"""What the backends of this watcher can do just now: a server that is down pauses its jobs, and nothing else.

A capability is paused when a job meets the fault, or when it is away at the start: the watcher offers it no more, so
the conductor sends such jobs elsewhere or lets them wait, and those in its lane go back. It is asked again at every
interval, and offered again when it is back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.duties import SessionDuty
from lib.errors import JobRunnerError, PausedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from job_watcher.backends.base import Backend
    from job_watcher.lanes import Lanes
    from job_watcher.session import Session
    from lib.errors import OverloadedError
    from lib.jobqueue import Capability

ANSWER_SECONDS: Final = 3.0
"""A service that does not say in this time that it can is taken for one that cannot."""

_REASON_CHARACTERS: Final = 300
"""A heartbeat is written every few seconds: a service that says a page in its error says the first lines there."""


@dataclass(slots=True)
class Availability:
    """The pauses of one life. `on_change` hears when the offer has changed and stands in the heartbeat."""

    backends: Sequence[Backend]
    session: Session
    lanes: Lanes
    interval: float
    on_change: Callable[[], None]
    redact: Callable[[str], str] = str
    """For what stands in the heartbeat, which everybody reads; the log blackens for itself."""
    paused: dict[tuple[str, Capability], str] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)
    _changed: bool = False
    _left: set[tuple[str, Capability]] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def pause(self, backend: str, error: PausedError | OverloadedError) -> None:
        """A job was told that there is no such thing now; or, overloaded, that it is worth asking."""
        if not isinstance(error, PausedError):
            self._doubted.add(backend)
            self._news.set()
            return
        for each in self.backends:
            for capability in each.capabilities:
                if each.name == backend and capability == error.capability:
                    self._note(backend, capability, error.message)

    def changed(self, backend: str) -> None:
        """What this backend can do may be more than it was, or less, and how much of it at once: ask it now."""
        self._doubted.add(backend)
        self._changed = True
        self._news.set()

    async def look(self) -> None:
        """Ask what can be done, and say so in the offer; before the session is opened."""
        for backend in self.backends:
            for capability in sorted(backend.capabilities):
                why = await _lacks(backend, capability)
                if why is not None:
                    self._note(backend.name, capability, why)
        self._offer()

    async def run_once(self) -> None:
        """Wait for a fault or the interval, then see what has changed."""
        try:
            async with asyncio.timeout(self.interval):
                await self._news.wait()
        except TimeoutError:
            self._changed = True
        self._news.clear()
        if self._changed:
            self._changed = False
            await self._ask_again()
        await self._ask_doubted()
        await self._say()

    def _note(self, backend: str, capability: Capability, why: str) -> None:
        if (backend, capability) not in self.paused:
            level = "INFO" if self._comes_and_goes(backend) else "WARNING"
            logger.bind(backend=backend).log(level, "{} takes no {} jobs for now: {}", backend, capability, why)
            self._news.set()
        self.paused[backend, capability] = why

    def _comes_and_goes(self, name: str) -> bool:
        """Whether it has nothing most of the time, as what is rented only when enough waits."""
        duties = [duty for each in self.backends if each.name == name for duty in each.duties.values()]
        return any(isinstance(duty, SessionDuty) and duty.hopes for duty in duties)

    async def _ask_doubted(self) -> None:
        doubted, self._doubted = self._doubted, set()
        for backend in self.backends:
            for capability in sorted(backend.capabilities if backend.name in doubted else ()):
                why = await _lacks(backend, capability)
                if why is not None:
                    self._note(backend.name, capability, why)

    async def _ask_again(self) -> None:
        backends = {backend.name: backend for backend in self.backends}
        for name, capability in list(self.paused):
            why = await _lacks(backends[name], capability)
            if why is None:
                del self.paused[name, capability]
                logger.bind(backend=name).info("{} takes {} jobs again", name, capability)
            else:
                self.paused[name, capability] = why

    async def _say(self) -> None:
        """Bring the heartbeat and the lanes in line with the pauses."""
        self._tell_why()
        now = set(self.paused)
        back = self._left - now
        for name, capability in back:
            self.lanes.enter(name, [capability])
        # Again for those that were left before: a read that was under way may have made this watcher a reader anew.
        for name, capability in now:
            await self.lanes.leave(name, [capability])
        resized = bool(self.session.offer.slots) and self._resize()
        if now != self._left or resized:
            self._left = now
            self._offer()
            if self.session.offer.slots:
                await self.session.renew(news=True)
            self.on_change()

    def _resize(self) -> bool:
        """Offer as many slots as the backends have by now; whether that is another number."""
        slots = {backend.name: backend.slots for backend in self.backends}
        changed = slots != self.session.offer.slots
        for name, count in slots.items() if changed else ():
            self.lanes.resize(name, count)
        self.session.offer.slots = slots
        return changed

    def _offer(self) -> None:
        offers: dict[str, frozenset[str]] = {
            backend.name: frozenset(c for c in backend.capabilities if (backend.name, c) not in self.paused)
            for backend in self.backends
        }
        self.session.offer.offers = offers
        self.session.offer.capabilities = frozenset().union(*offers.values())
        self._tell_why()

    def _tell_why(self) -> None:
        """The reasons for the heartbeat; they change while the pause goes on."""
        told: dict[str, dict[str, Any]] = {}
        for (backend, capability), why in sorted(self.paused.items()):
            told.setdefault(backend, {})[capability] = {
                "why": self.redact(why)[:_REASON_CHARACTERS],
                "asks_again_sec": self.interval,
            }
        self.session.offer.paused = told


async def _lacks(backend: Backend, capability: Capability) -> str | None:
    try:
        await backend.prepare()
        async with asyncio.timeout(ANSWER_SECONDS):
            return await backend.lacks(capability)
    except TimeoutError:
        return f"no answer within {ANSWER_SECONDS:g} s"
    except JobRunnerError as exc:
        return exc.message
