"""What a watcher works with from its start to its end, made once of the settings: backends, store, measurements.

Each life of the watcher (a session) uses it; the daemon makes it first and closes it last.
"""

from __future__ import annotations

import random
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.backends.registry import make_backends
from job_watcher.caching import caching_of
from job_watcher.execution import Execution
from job_watcher.life import Equipment
from job_watcher.measuring import Measuring
from job_watcher.metrics.counts import Counts
from job_watcher.metrics.stopwatch import Stopwatch
from job_watcher.retrying import RetryPolicy
from job_watcher.work_dirs import WorkDirs
from lib import wiring
from lib.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from job_watcher.backends.base import Backend
    from job_watcher.callbacks.delivery import CallbackSender
    from job_watcher.conductor import ConductorSetup
    from job_watcher.display import Display
    from job_watcher.lane import Execute
    from job_watcher.outcomes import Tally
    from job_watcher.session import Session
    from lib.errors import OverloadedError, PausedError
    from lib.redaction import Redactor
    from lib.settings import Settings


class Workshop:
    """The parts, and how one run of a job is put together of them.

    `timed`: somebody wants to know how long each run takes.
    """

    def __init__(self, settings: Settings, backends: Collection[str], redact: Redactor, *, timed: bool) -> None:
        self._settings = settings
        self._redact = redact
        self._timed = timed
        self._tasks = wiring.tasks(settings)
        self.queue = wiring.open_queue(settings)
        self.clock = SystemClock()
        _tell_of_the_cloud(settings, backends)
        _tell_of_renting(settings, backends)
        self.backends = make_backends(backends, self._tasks, settings, self.queue, self.clock)
        self._store = wiring.artifacts(settings, on_secrets=redact.learn)
        cache = wiring.artifact_cache(settings, on_secrets=redact.learn)
        self._caching = caching_of(settings, cache, wiring.catalogue(settings), wiring.voices(settings), self.clock)
        self._work_dirs: list[WorkDirs] = []
        self._counts = Counts()
        self._measuring = Measuring(self.queue, self.clock)
        self._sender = sender_of(settings, self.clock)

    def equipment(self, conducting: ConductorSetup, tally: Tally, display: Display) -> Equipment:
        """All of it, for the lives of a watcher."""
        settings = self._settings
        return Equipment(
            settings=settings,
            queue=self.queue,
            clock=self.clock,
            backends=self.backends,
            store=self._store,
            catalogue=wiring.catalogue(settings),
            execution=self._execution,
            blocking=lambda: wiring.open_blocking(settings, block_seconds=settings.watcher_poll_interval),
            tally=tally,
            version=own_version(),
            conducting=conducting,
            measuring=self._measuring,
            price=wiring.cloud_price(settings),
            listeners=[display],
            on_progress=display.progressed,
            counts=self._counts,
            redact=self._redact,
            callback_sender=self._sender,
        )

    async def aclose(self) -> None:
        """Close everything; the queue last."""
        for backend in self.backends:
            await backend.aclose()
        if self._sender:
            await self._sender.aclose()
        for held in self._work_dirs:
            await held.aclose()
        await self.queue.client.aclose()

    def _execution(
        self, backend: Backend, session: Session, on_paused: Callable[[PausedError | OverloadedError], None]
    ) -> Execute:
        if not self._work_dirs or self._work_dirs[-1].session != session.id:
            # Those of lives that came to nothing are forgotten: while a server is away, each try is a life.
            self._work_dirs = [each for each in self._work_dirs if each.held]
            self._work_dirs.append(WorkDirs(self._settings.watcher_work_dir, session.id))
        return Execution(
            backend=backend,
            store=self._store,
            work_dirs=self._work_dirs[-1],
            policy=RetryPolicy(self._settings.watcher_max_crashes, chance=random.random),
            clock=self.clock,
            run_id=session.run_id,
            redact=self._redact,
            stopwatch=Stopwatch(self._counts, self.clock, frozenset(self._tasks.tasks)) if self._timed else None,
            session=session,
            on_paused=on_paused,
            on_done=partial(self._measuring.ended, backend.name),
            caching=self._caching,
        )


def sender_of(settings: Settings, clock: SystemClock) -> CallbackSender | None:
    """Who sends callbacks; nobody where they are not set up."""
    if not (settings.callback_secret and settings.callback_allowed_hosts):
        return None
    from job_watcher.callbacks.delivery import CallbackSender  # noqa: PLC0415 - httpx only where callbacks are set up

    hosts = settings.callback_allowed_hosts
    return CallbackSender(settings.callback_secret, hosts, version=own_version(), clock=clock)


def _tell_of_the_cloud(settings: Settings, backends: Collection[str]) -> None:
    """A key that nobody uses, and a cloud without one, are more often a slip than a wish."""
    cloud, key = "cloud" in backends, bool(settings.gemini_api_key)
    if cloud and not key:
        logger.warning("GEMINI_API_KEY is not set: the cloud takes only jobs that need no model")
    elif key and not cloud and backends:
        logger.info("GEMINI_API_KEY is set, and not used here: `--backends metal,cloud` would")


def _tell_of_renting(settings: Settings, backends: Collection[str]) -> None:
    """The same of machines to rent."""
    rents, key, own = "vast" in backends, bool(settings.vast_api_key), bool(settings.ssh_hosts)
    if rents and not (key or own):
        logger.warning("neither VAST_API_KEY nor SSH_HOSTS is set: no machine is rented")
    elif rents and key and not own and settings.budget_per_day_usd is None:
        logger.warning("BUDGET_PER_DAY_USD is not set: no machine that costs is rented without it")
    elif (key or own) and not rents and backends:
        logger.info("VAST_API_KEY or SSH_HOSTS is set, and not used here: `--backends metal,vast` would")


def own_version() -> str:
    """The installed version; `0` in a tree that was never installed."""
    try:
        return version("job-runner")
    except PackageNotFoundError:
        return "0"
