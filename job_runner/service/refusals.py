"""What each backend says to one job, and at which price: taken, or the first reason why not.

The reasons come in the order in which they would have to go: it is pinned elsewhere, nobody alive offers the backend or
what the job needs there, the watchers stop, it is full, the limit of jobs a minute is used up, the API is closed, the
day's budget is reached. Pure; `why` calls it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.compute import offered_by, offers_of, pauses_of, rents
from lib.clock import iso
from lib.errors import JobRunnerError
from lib.job_rate import jobs_in_window
from lib.job_sizes import size_of
from lib.jobqueue import JobSpec
from lib.routing.estimates import Estimates
from lib.routing.quoted import LOCAL
from lib.routing.view import BACKENDS, RENTED, RENTED_CAPABILITIES
from lib.wiring import cloud_price

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from job_runner.service.known import Known
    from lib.redisqueue.rows import IndexRow
    from lib.routing.quoted import Taking
    from lib.settings import Settings

_LEAST_SHOWN_USD: Final = 0.0001
_MINUTE_SECONDS: Final = 60
_UNPAUSE: Final = "mend what it names, the jobs then run by themselves; or start another watcher that can"


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of the job itself: what it takes on each backend, nothing where its bytes cannot be read."""

    takes: Mapping[str, Taking] = field(default_factory=dict)
    deadline: datetime | None = None

    def urgent(self, now: datetime) -> bool:
        """Whether the free machine could still end it in time, if it began now."""
        metal = self.takes.get(LOCAL)
        if self.deadline is None:
            return False
        return (self.deadline - now).total_seconds() >= (metal.p50 if metal is not None else 0.0)


@dataclass(frozen=True, slots=True)
class BackendView:
    """What one backend says to the job: taken, or why not.

    `able` tells whether it could run the job at all; then `limit` names what keeps it from taking it now. Dollars are
    those of this job, expected and at worst; seconds at p50 and p90. None where nothing is known.
    """

    backend: str
    takes: bool
    says: str
    able: bool = False
    limit: str = ""
    mend: str = ""
    usd: float | None = None
    usd_most: float | None = None
    seconds: tuple[float, float] | None = None


def job_of(raw: bytes | None, row: IndexRow, known: Known, settings: Settings) -> Job:
    """What the job takes, out of its bytes and the measurements."""
    if raw is None or row.state != "queued":
        return Job()
    try:
        spec = JobSpec.from_json(raw)
    except JobRunnerError:
        return Job()
    estimates = Estimates(known.measured, cloud_price(settings))
    return Job({name: estimates.taking(spec.task, name, size_of(spec)) for name in BACKENDS}, spec.deadline)


def backend_views(job: Job, capability: str, pin: str, known: Known, settings: Settings) -> tuple[BackendView, ...]:
    """What every backend says."""
    matter = [name for name in BACKENDS if name != RENTED or RENTED in (pin, *offered_by(known)) or rents(settings)]
    return tuple(_priced(_view(name, capability, pin, known, settings, job), job) for name in matter)


def _priced(view: BackendView, job: Job) -> BackendView:
    taking = job.takes.get(view.backend)
    if taking is None:
        return view
    price = ""
    if view.able and taking.usd_most >= _LEAST_SHOWN_USD:
        price = f"; about ${taking.usd:.4f}, at most ${taking.usd_most:.4f}"
    return BackendView(
        view.backend,
        view.takes,
        view.says + price,
        view.able,
        view.limit,
        view.mend,
        round(taking.usd, 6),
        round(taking.usd_most, 6),
        (round(taking.p50, 2), round(taking.p90, 2)),
    )


def _view(backend: str, capability: str, pin: str, known: Known, settings: Settings, job: Job) -> BackendView:
    def no(says: str) -> BackendView:
        return BackendView(backend, takes=False, says=says)

    never = _never(backend, capability, pin)
    if never:
        return no(never)
    offering = [each for each in known.watchers if backend in each.get("slots", {})]
    if not offering:
        return no(f"no living watcher offers the backend {backend}")
    able = [each for each in offering if capability in offers_of(each).get(backend, ())]
    if not able:
        return _not_offered(backend, capability, offering)
    slots = sum(each["slots"][backend] for each in able)
    if not slots:
        return no("its watchers are stopping")
    kept = _kept(backend, capability, pin, known, settings, job)
    if kept is not None:
        return kept
    return BackendView(backend, takes=True, says=f"{_counted(slots, 'slot')} for {capability}", able=True)


def _never(backend: str, capability: str, pin: str) -> str:
    """Why it would not take it whoever is alive; empty where it could."""
    if pin and pin != backend:
        return f"the job is pinned to {pin}"
    if backend == RENTED and capability not in RENTED_CAPABILITIES:
        return "rented machines run nothing but speech"
    return ""


def _not_offered(backend: str, capability: str, offering: Sequence[Mapping[str, Any]]) -> BackendView:
    """What the watchers of a backend say of what none of them offers there."""
    paused = next(filter(None, (pauses_of(each, backend, capability) for each in offering)), "")
    if paused:
        return BackendView(backend, takes=False, says=paused, limit="paused", mend=_UNPAUSE)
    return BackendView(backend, takes=False, says=f"its watchers do not offer {capability}")


def _kept(backend: str, capability: str, pin: str, known: Known, settings: Settings, job: Job) -> BackendView | None:
    """What keeps a backend that could from taking it now: of a job that may yet be paid for the limits come first."""
    if backend == RENTED:
        full = _full(RENTED, known.slots(RENTED), _held(RENTED, known))
        return BackendView(RENTED, takes=False, says=full, able=True) if full else None
    said = "" if pin or backend == LOCAL else _policy(capability, known, settings, job)
    policy = BackendView(backend, takes=False, says=said, able=True, limit="policy") if said else None
    if policy is not None and job.deadline is None:
        return policy
    return _limit(backend, capability, known, settings, job) or policy


def _policy(capability: str, known: Known, settings: Settings, job: Job) -> str:
    """Why the policy does not pay for it though it could; empty where it does, or where no free slot serves such jobs.

    The policy is the one that is set here; the watcher that leads may have another.
    """
    free = any(
        each.get("slots", {}).get(LOCAL) and capability in offers_of(each).get(LOCAL, ()) for each in known.watchers
    )
    if not free or settings.conductor_policy == "local-first":
        return ""
    if settings.conductor_policy == "cheapest":
        return "the policy cheapest pays for nothing that a free machine can run"
    if job.deadline is None:
        return "the policy deadline pays for no job without a deadline that a free machine can run"
    if not job.urgent(datetime.now(UTC)):
        return ""
    return f"the policy deadline holds it for the free machine as long as that can end it by {iso(job.deadline)}"


def _limit(backend: str, capability: str, known: Known, settings: Settings, job: Job) -> BackendView | None:
    """Which limit keeps it from taking it now."""

    def no(limit: str, says: str, mend: str = "") -> BackendView:
        return BackendView(backend, takes=False, says=says, able=True, limit=limit, mend=mend)

    if backend == LOCAL:
        full = metal_full(known, settings)
        # Told before among the blockers, with its mend.
        return BackendView(backend, takes=False, says=full, able=True) if full else None
    full = _cloud_full(backend, known, settings)
    if full:
        return no("cloud_full", full, "more slots (CLOUD_CONCURRENCY) or more watchers")
    jobs, window_ms = jobs_in_window(settings.cloud_tokens_per_min)
    moved = known.document["rate"]["cloud_moves_in_window"]
    if moved >= jobs:
        return no(
            "near_limit",
            f"near the rate limit: {_counted(moved, 'job')} in the last {_span(window_ms)}, {jobs} allowed",
            "time, or a higher CLOUD_TOKENS_PER_MIN",
        )
    closed = _closed(capability, known, settings)
    if closed:
        return no("api_closed", closed)
    spend, taking = known.document["spend"], job.takes.get(backend)
    cap = settings.budget_per_day_usd
    spent = spend["today_usd"] + spend["reserved_usd"]
    worst = taking.usd_most if taking is not None else 0.0
    if cap is not None and worst > 0 and spent + worst > cap:
        return no(
            "budget_reached",
            f"the day's budget is reached: ${spent:.4f} of ${cap:.2f}, and it may cost ${worst:.4f}",
            "the next UTC day, or a higher BUDGET_PER_DAY_USD",
        )
    return None


def _span(window_ms: int) -> str:
    """The time of a limit, without the half second of slack that is added to it."""
    seconds = window_ms // 1000
    return "minute" if seconds == _MINUTE_SECONDS else f"{seconds} s"


def metal_full(known: Known, settings: Settings) -> str:
    """How full it is; empty while it has room."""
    slots, held = known.slots(LOCAL), _held(LOCAL, known)
    if not slots or held < slots * settings.metal_queue_max:
        return ""
    return (
        f"metal is full: {_counted(held, 'job')} wait or run there, for {_counted(slots, 'slot')} "
        f"with {settings.metal_queue_max} each"
    )


def _cloud_full(backend: str, known: Known, settings: Settings) -> str:
    slots, held = known.slots(backend), _held(backend, known)
    if held < slots + settings.cloud_queue_max:
        return ""
    return (
        f"{backend} is full: {_counted(held, 'job')} wait or run there, for {_counted(slots, 'slot')} "
        f"and {settings.cloud_queue_max} that may wait"
    )


def _full(backend: str, slots: int, held: int) -> str:
    return f"{backend} is full: {_counted(held, 'job')} wait or run there" if held >= slots else ""


def _held(backend: str, known: Known) -> int:
    lanes: Mapping[str, Mapping[str, Any]] = known.document["lanes"]
    return sum(lane["length"] for lane in lanes.values() if lane["backend"] == backend)


def _closed(capability: str, known: Known, settings: Settings) -> str:
    """Until when the API of what it needs is closed, and why; empty while it is open."""
    if capability == "any":
        return ""
    model = settings.gemini_model if capability == "text_model" else settings.gemini_speech_model
    for pool in known.document["pools"]:
        if pool["model"] == model and pool["closes_model"]:
            until = datetime.now(UTC) + timedelta(seconds=pool["closed_sec"])
            why = f": {pool['why']}" if pool["why"] else ""
            return f"the API of {model} is closed until {iso(until)}{why}"
    return ""


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"
