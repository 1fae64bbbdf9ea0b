"""What is done on a rented host, in the order of its life: come in, look at it, try it, give it jobs, leave it.

The market and the row are `lib.renting.keeping`'s; here is only what goes over ssh. While a watcher's session is fresh
it tells the host so; a host that hears nothing destroys itself. Made by the fleet, one an instance; told by its keeper.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.backends.vast.canary import sing
from job_watcher.backends.vast.shares import MachinePrice, share_of
from job_watcher.hosts.batches import BatchRunner, WorkerOn
from job_watcher.hosts.bootstrap import install
from job_watcher.hosts.connection import connect
from job_watcher.hosts.deadman import renew, revive
from job_watcher.hosts.errors import BootstrapError, HostError
from job_watcher.hosts.probe import Wants, probe
from job_watcher.hosts.sweeping import PREFIX, sweep
from job_watcher.hosts.wheel import make_wheel, own_version
from lib.errors import TaskError
from lib.market import events as ev

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path

    from job_watcher.hosts.connection import Host
    from job_watcher.hosts.keys import HostKeys, OwnKeys
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.clock import Clock
    from lib.jobqueue import JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.market.base import Address
    from lib.market.events import Event
    from lib.settings import Settings
    from lib.stores.handover import Handover
    from lib.tasks.base import TaskResult
    from lib.voice_synth.library import VoiceLibrary

PROBE_SECONDS: Final = 60.0
INSTALL_SECONDS: Final = 600.0
LEAVE_SECONDS: Final = 15.0
"""How long a host may take to be left in order; after that its connection is simply dropped."""

GO_ON_SECONDS: Final = 10.0
"""So long a host may take to say that it is still there."""

LOOKS: Final = 3
LOOK_AGAIN_SECONDS: Final = 1.0
"""How often, and how far apart, a machine is looked at that does not do what it should: it may do so yet, or the market
may know what became of it."""

_RENEWALS: Final = 5
"""So often the dead-man is renewed within its time: some may be lost."""


@dataclass(slots=True)
class Means:
    """What every host of one watcher is driven with. `wheel` is made when the first bare machine needs it.

    `environment` is what settings here say to the workers there; everybody on a host sees it.
    """

    voices: VoiceLibrary
    handover: Handover | None
    clock: Clock
    batch_max_jobs: int
    disk_gb: float
    dead_man: float
    market_url: str
    wheel_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    leaving: set[asyncio.Task[None]] = field(default_factory=set)
    _wheel: asyncio.Task[Path] | None = None

    @classmethod
    def of(cls, settings: Settings, voices: VoiceLibrary, handover: Handover | None, clock: Clock) -> Means:
        """As the settings say."""
        return cls(
            voices,
            handover,
            clock,
            settings.watcher_batch_max_jobs,
            float(settings.vast_disk),
            settings.vast_dead_man,
            settings.vast_url,
            settings.jobs_state_dir / "wheels",
            {"SENTENCE_CACHE_BYTES": str(settings.sentence_cache_bytes)},
        )

    async def wheel(self) -> Path:
        """The wheel of this very version; one that could not be made is tried again when it is wanted again.

        Raises:
            BootstrapError: this machine has no place or no files to make it from; no host is to blame.

        """
        if self._wheel is None or (self._wheel.done() and not _well(self._wheel)):
            self._wheel = asyncio.create_task(asyncio.to_thread(self._make_wheel))
        try:
            return await asyncio.shield(self._wheel)
        except OSError as exc:
            raise BootstrapError(f"{self.wheel_dir}: {exc}", hint="is the disk full?") from exc

    def _make_wheel(self) -> Path:
        self.wheel_dir.mkdir(parents=True, exist_ok=True)
        return make_wheel(self.wheel_dir)

    async def left(self, seconds: float) -> None:
        """Wait until all hosts that are being left are left."""
        if self.leaving:
            await asyncio.wait(self.leaving, timeout=seconds)


@dataclass(slots=True, eq=False)
class HostHands:
    """One host. `rented` is False for a machine of the user's own, which needs neither card nor dead-man.

    `look` asks the market how it is, `tell` and `on_done` are the keeper's; `on_change` hears when it takes jobs, or
    none any more. `price` is what jobs are told their share by;
    a contract may turn out dearer than its offer.
    """

    intent: str
    keys: HostKeys | OwnKeys
    means: Means
    session: Session
    rented: bool
    on_change: Callable[[], None]
    tell: Callable[[Event], None] = lambda _: None
    look: Callable[[], Awaitable[Event | None]] | None = None
    price: Callable[[], MachinePrice] = MachinePrice
    ready: bool = False
    on_done: Callable[[], None] = lambda: None
    _host: Host | None = None
    _runner: BatchRunner | None = None
    _worker: str = ""
    _renewed_at: float | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: bool = False

    @property
    def takes_jobs(self) -> bool:
        """Whether a job may be given to it now."""
        return self.ready and self._runner is not None and self._runner.fault is None

    @property
    def silence(self) -> float:
        """Seconds since its dead-man heard of this watcher; 0 where there is none, or nobody speaks to it any more."""
        if self._renewed_at is None or self._closed:
            return 0.0
        return self.means.clock.elapsed() - self._renewed_at

    @property
    def in_hand(self) -> int:
        """How many jobs it has."""
        return 0 if self._runner is None else self._runner.in_hand

    async def connect(self, address: Address, seconds: float) -> Event:
        """Come in, and see that its dead-man is at work: before it is given anything."""
        try:
            host = await connect(address, self.keys, None, seconds)
        except HostError as exc:
            return ev.Lost(exc.message)
        if self._closed:
            await host.aclose()
            return ev.Lost("it was given up", blame=False)
        self._host = host
        if self.rented:
            # It has heard something by its start, if not of us.
            self._renewed_at = self.means.clock.elapsed()
            if not await self._has_dead_man(host):
                return ev.Lost("it cannot end itself when no watcher speaks to it: it has no key for that")
            self._begin(self._keep_alive(host), "renewals")
        else:
            self._begin(self._sweep(host), "sweep")
        return ev.Connected()

    async def _has_dead_man(self, host: Host) -> bool:
        """Whether it would end itself, as every machine that is paid for must; a slow one is given some moments."""
        for tried in range(LOOKS):
            if await revive(host, self.means.dead_man, self.means.market_url):
                return True
            if tried + 1 < LOOKS:
                await self.means.clock.sleep(LOOK_AGAIN_SECONDS)
        return False

    async def probe(self) -> Event:
        """Look at it; where the worker is missing or of another version, it is installed."""
        host = self._need()
        found = await probe(host, Wants(self.means.disk_gb if self.rented else 0.0, card=self.rented), PROBE_SECONDS)
        if found.problem:
            return ev.Probed(found.problem)
        self._worker = found.worker
        if found.version != own_version():
            if not self.rented:
                there = f"version {found.version}" if found.version else "no job-runner"
                return ev.Probed(f"it has {there}, this watcher is {own_version()}; install the same on it")
            try:
                wheel = await self.means.wheel()
            except BootstrapError as exc:
                logger.error("rented machines: no worker can be installed on one: {}", exc.message)
                return ev.Lost(f"nothing to install: {exc.message}", blame=False)
            self._worker = await install(host, wheel, seconds=INSTALL_SECONDS, on_step=self._say)
        return ev.Probed()

    async def canary(self) -> Event:
        """Start the worker, and let it speak a word."""
        place = f"{PREFIX}{self.intent}"
        worker = WorkerOn(argv=(self._worker,), directory=place, environment=self.means.environment)
        self._runner = BatchRunner(
            self._need(),
            self.means.voices,
            most_jobs=self.means.batch_max_jobs,
            worker=worker,
            handover=self.means.handover,
        )
        return ev.CanaryEnded(await sing(self._runner, self.intent))

    def open(self) -> None:
        """It takes jobs; who has them hears when it does not any more."""
        if self._runner is None or self._closed:
            return
        self.ready = True
        self._begin(self._watch(self._runner), "watch")
        self.on_change()

    async def go_on(self, session: Session) -> str:
        """It is the next session's of this watcher; why it cannot be used under it, '' when it is as it was."""
        if self._closed or self._runner is None or self._runner.fault is not None:
            return "it was lost meanwhile"
        if self.in_hand:
            return "jobs of a session that has ended are still on it"
        self.session = session
        if self.rented:
            # Nobody has spoken to it meanwhile: it may be ending itself, and then its market knows.
            async with asyncio.timeout(GO_ON_SECONDS):
                if not await renew(self._need()):
                    return "its dead-man does not count any more"
            self._renewed_at = self.means.clock.elapsed()
            said = await self._ask_market()
            if isinstance(said, ev.Absent) or (isinstance(said, ev.Shown) and said.status != "running"):
                return "its market does not show it running"
        self.ready = True
        self.on_change()
        return ""

    def close(self) -> None:
        """Leave it: in the background, since a dead host answers nothing."""
        if self._closed:
            return
        self._closed = True
        was_ready, self.ready = self.ready, False
        for task in self._tasks:
            task.cancel()
        leaving = asyncio.create_task(self._leave(), name=f"leave {self.intent}")
        self.means.leaving.add(leaving)
        leaving.add_done_callback(self.means.leaving.discard)
        if was_ready:
            self.on_change()

    async def speak(
        self,
        job: JobSpec,
        number: int,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        begun: Callable[[], Awaitable[None]] | None = None,
    ) -> TaskResult:
        """One attempt of one job with its share of the bill; raises what `job_watcher.hosts.batches` raises."""
        runner = self._runner
        if runner is None:
            raise HostError("the rented machine was left")
        self.tell(ev.Work())
        came = self.means.clock.elapsed()
        result = await runner.speak(job, number, lease, work_dir, on_progress, begun)
        self.on_done()
        worked = self.means.clock.elapsed() - came - result.waited
        # Nobody looks at a disk for what is not priced.
        price = self.price()
        sent = await asyncio.to_thread(_bytes_of, result) if price.upload_gb else 0
        return replace(result, cost=share_of(self.intent, price, seconds=worked, sent_bytes=sent))

    def _need(self) -> Host:
        if self._host is None:
            raise HostError("nobody is connected to it")
        return self._host

    def _say(self, step: str) -> None:
        logger.bind(instance_id=self.intent).info("rented machine {}: {}", self.intent, step)

    def _begin(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.create_task(work, name=f"{what} of {self.intent}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, runner: BatchRunner) -> None:
        fault = await runner.unfit()
        self.ready = False
        self.on_change()
        # One that was taken away is no bad machine, and the market knows it, if not at once.
        for _ in range(LOOKS if self.rented else 0):
            said = await self._ask_market()
            if isinstance(said, ev.Absent) or (isinstance(said, ev.Shown) and said.status != "running"):
                self.tell(said)
                return
            await self.means.clock.sleep(LOOK_AGAIN_SECONDS)
        self.tell(ev.Lost(fault.message))

    async def _ask_market(self) -> Event | None:
        if self.look is None:
            return None
        try:
            return await self.look()
        except Exception as exc:  # noqa: BLE001 - whatever it was: the host is lost all the same
            logger.bind(instance_id=self.intent).warning("a lost machine cannot be looked at: {}", exc)
            return None

    async def _keep_alive(self, host: Host) -> None:
        """Only while the session is fresh: nobody else could end this machine if this watcher were cut off."""
        while True:
            if self.session.fresh:
                try:
                    if await renew(host) or await revive(host, self.means.dead_man, self.means.market_url):
                        self._renewed_at = self.means.clock.elapsed()
                except HostError as exc:
                    logger.bind(instance_id=self.intent).debug("its dead-man was not renewed: {}", exc.message)
                except TaskError as exc:
                    logger.bind(instance_id=self.intent).warning("its dead-man was not renewed: {}", exc.message)
            await self.means.clock.sleep(min(60.0, self.means.dead_man / _RENEWALS))

    async def _sweep(self, host: Host) -> None:
        """One's own host is not thrown away with what dead watchers have left on it."""
        try:
            swept = await sweep(host, f"{PREFIX}{self.intent}", self.means.dead_man)
        except TaskError as exc:
            logger.bind(instance_id=self.intent).debug("it was not swept: {}", exc.message)
            return
        if swept:
            logger.bind(instance_id=self.intent).info(
                "deleted on {} what dead watchers had left: {}", host.name, " ".join(swept)
            )

    async def _leave(self) -> None:
        runner, host = self._runner, self._host
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                if runner is not None:
                    await runner.aclose()
        except (TimeoutError, TaskError) as exc:
            logger.bind(instance_id=self.intent).debug("its worker was not ended: {}", exc)
        finally:
            if host is not None:
                await host.aclose()


def _well(task: asyncio.Task[Path]) -> bool:
    return not task.cancelled() and task.exception() is None


def _bytes_of(result: TaskResult) -> int:
    """How much came from there, whichever way it took; blocks."""
    return sum(each.bytes for each in result.stored) + sum(each.path.stat().st_size for each in result.outputs)
