"""What there is to run jobs on: who offers what, slots, limits and what is left of them, for quotes and ETAs.

Living watchers are believed first; where none offers a backend, the settings here say what one that is started would.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lib.job_rate import jobs_in_window
from lib.market.instance import READY
from lib.pacific import seconds_left
from lib.routing.filling import Ration
from lib.routing.quoted import LOCAL, Backend
from lib.routing.view import BACKENDS, RENTED, RENTED_CAPABILITIES
from lib.setting_fields.compute import NO_SPEECH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from job_runner.service.known import Known
    from lib.settings import Settings

_RENTED_BEGINS: Final = 240.0
"""Seconds from the wish for a rented machine to its first job, where none is ready: image, ssh, checks, models."""

_OWN_BEGINS: Final = 15.0
"""The same of a host of one's own, which runs already."""

_NOTHING: Final = frozenset[str]()
_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


def offers(settings: Settings, known: Known) -> dict[str, frozenset[str]]:
    """The capabilities of each backend: those that living watchers offer, and those that one here would."""
    here, there = offers_here(settings), offered_by(known)
    return {name: here.get(name, _NOTHING) | there.get(name, _NOTHING) for name in {**here, **there}}


def offered_by(known: Known) -> dict[str, frozenset[str]]:
    """The capabilities of each backend that living watchers serve."""
    found: dict[str, frozenset[str]] = {}
    for watcher in known.watchers:
        for backend, capabilities in offers_of(watcher).items():
            found[backend] = found.get(backend, _NOTHING) | capabilities
    return found


def offers_of(watcher: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The same of one watcher, by its heartbeat; one of an older version offers all it can wherever it has slots."""
    told = watcher.get("offers") or dict.fromkeys(watcher.get("slots", {}), watcher.get("capabilities", ()))
    return {backend: frozenset(capabilities) for backend, capabilities in told.items()}


def pauses_of(watcher: Mapping[str, Any], backend: str, capability: str) -> str:
    """Why the watcher does not do there what it could else; empty where it does not say, as older ones."""
    told: Any = watcher.get("paused")
    for name in (backend, capability):
        told = told.get(name) if isinstance(told, dict) else None
    if not isinstance(told, dict) or not told.get("why"):
        return ""
    every = told.get("asks_again_sec")
    again = f"; it asks again every {every:g} s" if isinstance(every, int | float) else ""
    return f"watcher {watcher.get('name', '?')} takes no {capability} jobs for now: {told['why']}{again}"


def offers_here(settings: Settings) -> dict[str, frozenset[str]]:
    """The same of a watcher with these settings; without a key nobody would start one for the cloud."""
    metal = {"any", "speech", "speaker"} | ({"text_model"} if settings.ollama_model else set())
    found = {LOCAL: frozenset(metal)}
    if rents(settings):
        found[RENTED] = RENTED_CAPABILITIES
    if settings.gemini_api_key:
        found["cloud"] = frozenset({"any", "text_model"} | ({"speaker"} if speaks(settings) else set()))
    return found


def rents(settings: Settings) -> bool:
    """Whether a watcher with these settings could rent machines, or use others of yours like rented ones."""
    return bool(settings.vast_api_key or settings.ssh_hosts)


def speaks(settings: Settings) -> bool:
    """Whether the cloud has a model for speech."""
    return settings.gemini_speech_model != NO_SPEECH


def backends(settings: Settings, known: Known, now: datetime) -> dict[str, Backend]:
    """Each backend as it stands now: a slot may have jobs waiting before it, and what waits already goes first."""
    metal = known.slots(LOCAL) or settings.metal_concurrency
    cloud = known.slots("cloud") or settings.cloud_concurrency
    found = {
        LOCAL: Backend(metal, waiting=settings.metal_queue_max - 1),
        "cloud": Backend(cloud, settings.cloud_queue_max / cloud, _rations(settings, known, now)),
    }
    rented = _rented(settings, known)
    if rented is not None:
        found[RENTED] = rented
    return {name: found[name] for name in BACKENDS if name in found}


def _rented(settings: Settings, known: Known) -> Backend | None:
    """Hosts of one's own, which cost nothing, and all machines that may be rented at once; none without a budget."""
    own, may_rent = len(settings.ssh_hosts), 0
    if settings.vast_api_key and settings.budget_per_day_usd is not None:
        may_rent = settings.vast_max_instances
    if not own + may_rent:
        return None
    begins = [
        *_begins(own, machines_ready(known, ("ssh",)), _OWN_BEGINS),
        *_begins(may_rent, machines_ready(known, ("vast",)), _RENTED_BEGINS),
    ]
    hourly = settings.vast_max_dph if may_rent else 0.0
    grace = settings.watcher_idle_grace if may_rent else 0.0
    return Backend(own + may_rent, hourly=hourly, idle=grace, begins=tuple(sorted(begins)), own=own)


def _begins(machines: int, ready: int, seconds: float) -> list[float]:
    """When each can begin: at once those that take jobs already."""
    return [0.0 if i < ready else seconds for i in range(machines)]


def machines_ready(known: Known, markets: Collection[str] = ("ssh", "vast")) -> int:
    """How many machines of these markets take jobs now."""
    rows = (each for each in known.document.get("instances", ()) if not each["damaged"])
    return sum(each["state"] in READY and each["owner_alive"] and each["market"] in markets for each in rows)


def _rations(settings: Settings, known: Known, now: datetime) -> tuple[Ration, ...]:
    jobs, window_ms = jobs_in_window(settings.cloud_tokens_per_min)
    window = window_ms / 1000
    moved = known.document.get("rate", {}).get("cloud_moves_in_window", 0)
    found = [Ration("jobs", jobs, window, max(0, jobs - moved), window)]
    asked = _asked(known.document)
    if settings.gemini_rpm is not None:
        left = max(0, settings.gemini_rpm - asked["requests_last_min"])
        found.append(Ration("requests", settings.gemini_rpm, _MINUTE, left, _MINUTE))
    if settings.gemini_tpm is not None:
        left = max(0, settings.gemini_tpm - asked["tokens_last_min"])
        found.append(Ration("tokens", settings.gemini_tpm, _MINUTE, left, _MINUTE))
    if settings.gemini_rpd is not None:
        left = max(0, settings.gemini_rpd - asked["requests_today"])
        found.append(Ration("requests", settings.gemini_rpd, _DAY, left, seconds_left(now)))
    if settings.budget_per_day_usd is not None:
        spent = known.document.get("spend", {})
        left_usd = settings.budget_per_day_usd - spent.get("today_usd", 0.0) - spent.get("reserved_usd", 0.0)
        found.append(Ration("usd", settings.budget_per_day_usd, _DAY, max(0.0, left_usd), _until_midnight(now)))
    return tuple(found)


def _asked(document: Mapping[str, object]) -> dict[str, float]:
    """What the pools were asked for, the busiest of them: a job uses one of them."""
    names = ("requests_last_min", "tokens_last_min", "requests_today")
    pools = document.get("pools", ())
    assert isinstance(pools, list | tuple)  # noqa: S101 - as `overview` makes it
    return {name: max((float(pool[name]) for pool in pools), default=0.0) for name in names}


def _until_midnight(now: datetime) -> float:
    """Seconds until the next UTC day, by which the budget counts."""
    today = now.astimezone(UTC)
    begins = today.replace(hour=0, minute=0, second=0, microsecond=0)
    return _DAY - (today - begins).total_seconds()
