"""Which backends there are, and what each is made of on this machine."""

# ruff: noqa: PLC0415 - a watcher that uses no text model imports none

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from job_watcher.backends.cloud import Cloud
from job_watcher.backends.metal import Metal
from lib.calling import install_extra
from lib.errors import SettingsError
from lib.routing.view import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from job_watcher.backends.base import Backend
    from job_watcher.backends.paid import PaidModels
    from lib.capabilities.text_model import ServedModel
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings
    from lib.tasks.registry import TaskRegistry


def make_backends(
    names: Iterable[str], tasks: TaskRegistry, settings: Settings, queue: Queue, clock: Clock
) -> tuple[Backend, ...]:
    """The backends of these names, in the order of `BACKENDS`; opens no connection by itself.

    Raises:
        SettingsError: a library is missing that one of them needs.

    """
    wanted = set(names)
    return tuple(_MAKERS[name](tasks, settings, queue, clock) for name in BACKENDS if name in wanted)


def _metal(tasks: TaskRegistry, settings: Settings, _: Queue, clock: Clock) -> Backend:
    return Metal(tasks, settings, _local_model(settings, clock))


def _cloud(tasks: TaskRegistry, settings: Settings, queue: Queue, clock: Clock) -> Backend:
    return Cloud(tasks, settings, _paid_models(settings, queue, clock))


def _local_model(settings: Settings, clock: Clock) -> ServedModel | None:
    if not settings.ollama_model:
        return None
    from lib.capabilities.ollama import OllamaModel

    return OllamaModel(settings.ollama_host, settings.ollama_model, clock=clock)


def _paid_models(settings: Settings, queue: Queue, clock: Clock) -> PaidModels | None:
    if not settings.gemini_api_key:
        return None
    from job_watcher.backends.paid import PaidModels

    return PaidModels.of(settings, queue, clock)


def _vast(_: TaskRegistry, settings: Settings, queue: Queue, clock: Clock) -> Backend:
    needed = ("asyncssh", *(["vastai"] if settings.vast_api_key else []))
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        extra = "ssh" if settings.ssh_hosts and not settings.vast_api_key else "vast"
        raise SettingsError(
            f"--backends has vast, and {' and '.join(missing)} cannot be imported",
            hint=f"{install_extra(extra)}, or leave vast out",
        )
    from job_watcher.backends.vast.backend import Vast
    from job_watcher.backends.vast.demand import Lookout
    from job_watcher.backends.vast.fleet import Fleet
    from job_watcher.backends.vast.hands import Means
    from job_watcher.backends.vast.reaper import Reaper
    from lib import wiring
    from lib.renting.shopping import Shopping

    markets = wiring.markets(settings, clock)
    means = Means.of(settings, wiring.voices(settings, check_files=True), wiring.artifacts(settings).handover(), clock)
    lookout = Lookout(queue, clock, settings, wiring.cloud_price(settings))
    fleet = Fleet(settings, queue, clock, markets, means, lookout, Shopping(settings, queue, clock, markets))
    return Vast(fleet, Reaper(markets, clock, lambda: fleet.books), settings.watcher_batch_max_jobs)


_MAKERS: Final[dict[str, Callable[[TaskRegistry, Settings, Queue, Clock], Backend]]] = {
    "metal": _metal,
    "cloud": _cloud,
    "vast": _vast,
}
