"""What is wrong with the server and with this machine, and how to mend it. It changes nothing.

Each check answers by itself: one that cannot be made says so and the next one is made all the same.
"""

from __future__ import annotations

import asyncio
import difflib
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from job_runner.service.durability import agreed_durability
from job_runner.service.place import server_text
from lib.errors import JobRunnerError
from lib.redisqueue.connection import edge
from lib.redisqueue.overview import overview
from lib.settings import process_environment, variable_name, variables
from lib.wiring import opened_queue, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lib.redisqueue.connection import Features
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

State = Literal["ok", "note", "mended", "wrong"]

LEAST_REDIS: Final = (7, 0)
LEAST_VALKEY: Final = (8, 0)
"""The oldest that is still maintained."""

_OUR_NAMES: Final = ("JOBS_", "WATCHER_", "METAL_", "CALLBACK_", "REDIS_URL")
"""How names begin that nobody else is likely to set."""

SKEW_MOST_SECONDS: Final = 2.0
"""The queue goes by the server's clock alone; run_after and records are written by this one, in whole seconds."""


@dataclass(frozen=True, slots=True)
class Check:
    """The answer of one check; `mend` says what to do when it is not `ok`."""

    name: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All answers."""

    checks: tuple[Check, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.state != "wrong" for check in self.checks)

    def reached_redis(self) -> bool:
        """Whether the server answered."""
        return any(check.name == "version" for check in self.checks)

    def document(self) -> dict[str, Any]:
        """The JSON of `doctor`."""
        return {"ok": self.sound, "checks": [asdict(check) for check in self.checks]}


async def diagnose(settings: Settings) -> Diagnosis:
    """Check the server, then this machine."""
    return Diagnosis((*await _server(settings), *await asyncio.to_thread(_machine, settings)))


async def _server(settings: Settings) -> list[Check]:
    try:
        async with opened_queue(settings) as queue:
            features = await queue.check_server()
            skew = await _skew_seconds(queue)
            return [
                Check("redis", "ok", f"{features.software} {features.version} at {server_text(settings)}"),
                _version(features),
                _persistence(features),
                _eviction(features),
                _time(skew),
                await _durability(queue, settings),
                await _watchers(queue, settings),
            ]
    except JobRunnerError as exc:
        return [Check("redis", "wrong", exc.message, exc.hint or "")]


async def _skew_seconds(queue: Queue) -> float:
    """How far the server's clock is ahead of ours, to within the time of a round trip."""
    sent = time.time()
    async with edge(queue.url):
        seconds, micros = await queue.client.time()
    return float(seconds) + float(micros) / 1e6 - (sent + time.time()) / 2


def _version(features: Features) -> Check:
    least = LEAST_VALKEY if features.software == "valkey" else LEAST_REDIS
    needed = ".".join(map(str, least))
    numbers = tuple(int(part) for part in features.version.split(".")[:2] if part.isdigit())
    if numbers >= least:
        return Check("version", "ok", f"{features.version}, at least {needed} is needed")
    return Check("version", "wrong", features.version, f"use {features.software} {needed} or newer")


def _persistence(features: Features) -> Check:
    if features.append_only is None:
        return Check("persistence", "note", "the server does not tell", "make sure that it keeps its data on disk")
    if not features.append_only:
        return Check(
            "persistence", "wrong", "no append-only file: a restart loses the queue", "set `appendonly yes` there"
        )
    return Check("persistence", "ok", f"append-only file, appendfsync {features.append_fsync}")


def _eviction(features: Features) -> Check:
    if features.eviction is None:
        return Check("eviction", "note", "the server does not tell", "make sure that maxmemory-policy is noeviction")
    if features.eviction != "noeviction":
        return Check(
            "eviction",
            "wrong",
            f"maxmemory-policy {features.eviction} may throw jobs away",
            "set `maxmemory-policy noeviction` there",
        )
    return Check("eviction", "ok", "noeviction")


def _time(skew_seconds: float) -> Check:
    found = f"the server's clock is {abs(skew_seconds):.1f} s {'ahead of' if skew_seconds > 0 else 'behind'} this one"
    if abs(skew_seconds) > SKEW_MOST_SECONDS:
        return Check("time", "wrong", found, "set both clocks by NTP")
    return Check("time", "ok", f"the clocks agree within {SKEW_MOST_SECONDS:g} s")


async def _durability(queue: Queue, settings: Settings) -> Check:
    try:
        await agreed_durability(queue, settings)
    except JobRunnerError as exc:
        return Check("durability", "wrong", exc.message, exc.hint or "")
    return Check("durability", "ok", settings.jobs_durability)


async def _watchers(queue: Queue, settings: Settings) -> Check:
    document = await overview(queue, lease_idle_ms=settings.watcher_lease_idle_ms)
    alive = sum(watcher["alive"] for watcher in document["watchers"])
    outstanding = document["totals"]["outstanding"]
    found = f"{alive} alive, {outstanding} {'job' if outstanding == 1 else 'jobs'} outstanding"
    if outstanding and not alive:
        return Check("watchers", "note", found, "start one with `job-watcher`")
    return Check("watchers", "ok", found)


def _machine(settings: Settings) -> list[Check]:
    return [
        *_names(process_environment()),
        _directory("state", settings),
        _directory("output", settings),
        _task_modules(settings),
        *_engines(),
    ]


def _names(environ: Mapping[str, str]) -> list[Check]:
    """Variables that look like ours and are read by nobody: most often a slip of the fingers."""
    known = {variable_name(variable) for variable in variables()}
    return [
        Check("settings", "note", f"{name} is set and is no setting", _meant(name, known))
        for name in sorted(environ)
        if name.startswith(_OUR_NAMES) and name not in known
    ]


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else "see .env.example for every name"


def _directory(which: Literal["state", "output"], settings: Settings) -> Check:
    path = settings.jobs_state_dir if which == "state" else settings.watcher_output_root
    variable = "JOBS_STATE_DIR" if which == "state" else "WATCHER_OUTPUT_ROOT"
    nearest = next((each for each in (path, *path.parents) if each.exists()), path)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as exc:
        return Check(which, "wrong", f"{path}: {exc.strerror}", f"make it writable, or set {variable}")
    return Check(which, "ok", f"{path}" if nearest == path else f"{path} (not there yet; it can be made)")


def _task_modules(settings: Settings) -> Check:
    try:
        names: Sequence[str] = tasks(settings).catalogue.names
    except JobRunnerError as exc:
        return Check("tasks", "wrong", exc.message, exc.hint or "")
    return Check("tasks", "ok", ", ".join(names))


def _engines() -> list[Check]:
    """Whether each engine loads, which is the only proof that its library and model are there."""
    from lib.voice_synth.engines.registry import ENGINES  # noqa: PLC0415 - loads engines, for this command alone
    from lib.voice_synth.voices import VoiceRegistry  # noqa: PLC0415 - for this command alone

    checks: list[Check] = []
    for name, make in ENGINES.items():
        try:
            engine = make()
            engine.load()
        except Exception as exc:  # noqa: BLE001 - whatever a broken installation raises is the finding
            hint = exc.hint if isinstance(exc, JobRunnerError) else None
            checks.append(Check("engine", "wrong", f"{name}: {exc}", hint or "install job-runner again"))
        else:
            checks.append(Check("engine", "ok", f"{name} ({engine.model_version}) loads"))
    return [*checks, Check("voices", "ok", ", ".join(VoiceRegistry().slugs))]
