"""The watcher as a process: what it checks before it begins, its lives one after the other, signals, the stop order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.cancelling import cancel_all
from job_watcher.conductor import ConductorSetup
from job_watcher.draining import SOON_MS, left_to_do
from job_watcher.equipping import Workshop
from job_watcher.life import Equipment, Life
from job_watcher.naming import claim
from job_watcher.outcomes import Tally
from lib.errors import JobRunnerError, NameTakenError, RefusedError, SessionLostError, UnreachableError
from lib.jobqueue.moves import LiveWatcher
from lib.logs import about
from lib.redaction import this_process
from lib.redisqueue.rights import require_rights
from lib.settings import process_environment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from job_watcher.display import Display
    from job_watcher.draining import Mode
    from job_watcher.metrics.address import Address
    from job_watcher.naming import WatcherName
    from lib.redaction import Redactor
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

RECONNECT_SECONDS: Final = 2.0
"""How often a starting watcher tries a server that does not answer yet."""


@dataclass(frozen=True, slots=True)
class Role:
    """What this process is to do: the backends whose jobs run here (none: it only conducts), and how it conducts."""

    backends: Collection[str]
    conducting: ConductorSetup


class Daemon:
    """One watcher process."""

    def __init__(
        self,
        settings: Settings,
        *,
        role: Role | None = None,
        mode: Mode,
        consumer_name: str | None,
        display: Display,
        force: bool = False,
        metrics: Address | None = None,
        redact: Redactor | None = None,
    ) -> None:
        self._settings = settings
        self._role = role or Role(("metal",), ConductorSetup.of(settings))
        self._mode: Mode = mode
        self._consumer_name = consumer_name
        self._display = display
        self._force = force
        self._metrics = metrics
        self._redact = redact or this_process(process_environment, settings.secret_values())
        self._life: Life | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.interrupted = False
        self.tally = Tally()
        self.moved = 0
        """Jobs that this process has moved to the lanes."""
        self.left = 0
        """Jobs that a watcher which was to end by itself was stopped before; 0 while it is not stopped."""

    async def run(self) -> Tally:
        """Watch until stopped, drained or refused.

        Raises:
            NameTakenError: the name is alive elsewhere.
            InvalidInputError: metrics cannot be served at the address given.
            UnreachableError: there is no server, and this watcher was to end by itself.
            RefusedError: the server may throw jobs away, and this watcher was not told to work there all the same.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        name = claim(self._settings.jobs_state_dir, self._consumer_name)
        shop = Workshop(self._settings, self._role.backends, self._redact, timed=self._metrics is not None)
        equipment = shop.equipment(self._role.conducting, self.tally, self._display)
        try:
            async with self._exposed(equipment, name):
                reached = await self._reach(lambda: self._check_server(shop.queue))
                if reached and await self._reach(equipment.store.check):
                    await self._live(equipment, name)
        finally:
            await shop.aclose()
            name.release()
        return self.tally

    def _exposed(self, equipment: Equipment, name: WatcherName) -> contextlib.AbstractAsyncContextManager[None]:
        """Metrics and health for the length of a block, if they were asked for."""
        if self._metrics is None:
            return contextlib.nullcontext()
        from job_watcher.metrics.exposure import Exposure  # noqa: PLC0415 - a library that only this flag needs

        exposure = Exposure(
            address=self._metrics,
            settings=self._settings,
            queue=equipment.queue,
            clock=equipment.clock,
            counts=equipment.counts,
            watcher=name.name,
            version=equipment.version,
            life=lambda: self._life,
        )
        return exposure.running()

    async def _check_server(self, queue: Queue) -> None:
        policy = (await queue.check_server()).eviction
        await require_rights(queue, "watcher")
        if policy in (None, "noeviction"):
            return
        danger = f"this Redis has maxmemory-policy {policy}: when it is full it may throw jobs and results away"
        if not self._force:
            raise RefusedError(
                danger, hint="run `CONFIG SET maxmemory-policy noeviction` there, or start with --force to risk it"
            )
        logger.warning("{}", danger)

    async def _live(self, equipment: Equipment, name: WatcherName) -> None:
        """One life after another, as long as only the session was lost."""
        while not self._stop.is_set():
            life = await self._begun(equipment, name)
            if life is None:
                return
            with about(run_id=life.session.run_id):
                try:
                    await self._show(equipment.queue, life)
                    if self._stop.is_set() and self._mode != "forever":
                        self.left = await self._count_left(equipment)
                except SessionLostError as exc:
                    logger.warning("{}; beginning a new one", exc.message)
                else:
                    return
                finally:
                    self.moved += life.conductor.moved

    async def _begun(self, equipment: Equipment, name: WatcherName) -> Life | None:
        """A life whose session stands; None when told to stop before.

        Each try is a life of its own: one whose opening was answered to nobody may have been ended by a sweep since,
        and a session that has ended never comes back.

        Raises:
            NameTakenError: the name is alive elsewhere, which is certain only when it is heard of again.

        """
        silent: str | None = None

        async def begin() -> None:
            self._life = Life(equipment, name)
            with about(run_id=self._life.session.run_id):
                await self._life.open()

        while not self._stop.is_set():
            try:
                return self._life if await self._reach(begin) else None
            except NameTakenError as exc:
                # A session that nobody renews may have this name: of a host that is gone, or of this watcher's own
                # past that a server which lost the end of its data has gone back to. It ages only while sweeps
                # follow one another, and nobody else may be there to sweep: so this goes on until it has ended.
                if silent is not None and exc.heard != silent:
                    raise
                if silent is None:
                    logger.warning("{}; waiting to see whether it is heard of again", exc.message)
                silent = exc.heard
                await _first(self._stop.wait(), self._settings.watcher_poll_interval)
        return None

    async def _show(self, queue: Queue, life: Life) -> None:
        await self._display.count(queue)
        counting = asyncio.create_task(self._display.follow(queue))
        # A watcher that stops offers no place any more: its own jobs would seem to be nobody's.
        stopping = asyncio.create_task(self._stop.wait())
        stopping.add_done_callback(lambda _: counting.cancel())
        try:
            await life.run(self._mode, self._stop, self._hurry)
        finally:
            await cancel_all([counting, stopping])
            if not self._stop.is_set():
                await self._display.count(queue)

    async def _count_left(self, equipment: Equipment) -> int:
        """What a watcher such as this one would still do; 0 where the server does not answer."""
        offers = {backend.name: frozenset[str](backend.capabilities) for backend in equipment.backends}
        slots = {backend.name: backend.slots for backend in equipment.backends}
        again = LiveWatcher("", "", frozenset().union(*offers.values()), slots, last_seen_ms=0, offers=offers)
        try:
            soon_ms = SOON_MS if self._mode == "drain" else 0
            return (await left_to_do(equipment.queue, soon_ms=soon_ms, also=[again])).active
        except JobRunnerError:
            return 0

    async def _reach(self, attempt: Callable[[], Awaitable[object]]) -> bool:
        """Wait for a server that does not answer yet, unless this watcher is to end by itself; False when stopped."""
        told = False
        while not self._stop.is_set():
            try:
                await attempt()
            except UnreachableError as exc:
                if self._mode != "forever":
                    raise
                if not told:
                    logger.warning("{}; waiting for it", exc.message)
                told = True
                await _first(self._stop.wait(), RECONNECT_SECONDS)
            else:
                return True
        return False

    def _on_signal(self, number: int) -> None:
        if self._stop.is_set():
            logger.warning("hurrying: running jobs are handed back")
            self._hurry.set()
        self.interrupted = self.interrupted or number == signal.SIGINT
        self._stop.set()


async def _first(event: Coroutine[Any, Any, Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return
