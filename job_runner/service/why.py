"""Why a job is where it is: what stands in its way, in the order in which it must go, and what each backend says.

`explain` is pure; `why` gathers what it is made from. It tells what is known now and changes nothing. What the backends
say, and at which price, is in `refusals`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.eta import Eta, eta_in_line, line_of
from job_runner.service.known import Known, known
from job_runner.service.refusals import BackendView, Job, backend_views, job_of, metal_full
from lib.clock import iso, iso_from_ms
from lib.redisqueue import reader
from lib.redisqueue.keys import is_intake, parse_intake, parse_lane
from lib.redisqueue.place import AHEAD_MAX, Place, place_of
from lib.routing.view import RENTED, RENTED_CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lib.redisqueue.queue import Queue
    from lib.redisqueue.reader import Found
    from lib.redisqueue.rows import IndexRow
    from lib.settings import Settings


_STARTS: Final = {
    "cloud": "`job-watcher --backends metal,cloud`",
    "vast": "`job-watcher --backends metal,vast` (and VAST_API_KEY or SSH_HOSTS)",
}
"""How to start a watcher that offers more than metal."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing in a job's way; `mend` is what a person can do about it, empty when only time helps."""

    kind: str
    says: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Why:
    """The answer.

    `before` is how many jobs go first, as far as can be told; None where the order is another or it does not wait yet.
    `eta_says` is what else holds of the ETA, or why there is none.
    """

    found: Found
    blockers: tuple[Blocker, ...] = ()
    backends: tuple[BackendView, ...] = ()
    before: int | None = None
    eta: Eta | None = None
    eta_says: str = ""

    def document(self) -> dict[str, Any]:
        """The JSON of `why`."""
        row = self.found.row
        return {
            "request_id": self.found.request_id,
            "status": self.found.status,
            "where": row.stream if row is not None and row.stream else None,
            "blockers": [asdict(blocker) for blocker in self.blockers],
            "backends": [asdict(view) for view in self.backends],
            "position": None if self.before is None else self.before + 1,
            "eta": None if self.eta is None else self.eta.document(),
            "eta_says": self.eta_says,
            "progress": self.found.progress,
        }


async def why(queue: Queue, settings: Settings, request_id: str) -> Why:
    """What is known now about the way of this job; status `not_found` when nothing is."""
    (found,) = await reader.results(queue, [request_id])
    if found.row is None:
        return Why(found)
    place = await place_of(queue, request_id, found.row)
    now_known = await known(queue, settings)
    (looked,) = await reader.look(queue, [request_id])
    job = job_of(looked.job, found.row, now_known, settings)
    return explain(found, place, now_known, settings, job)


def explain(found: Found, place: Place, now_known: Known, settings: Settings, job: Job) -> Why:
    """The answer for an active job, out of its place and what the queue knows.

    The limits are as this process knows them; the watcher that leads may have others.
    """
    row = found.row
    assert row is not None  # noqa: S101 - the caller looked
    document, watchers = now_known.document, now_known.watchers
    capability, pin = _class_of(row)
    # A pin may name one that does not exist; that is told as what is in the job's way.
    backends = backend_views(job, capability, pin, now_known, settings)
    match row.state:
        case "leased":
            return Why(found, tuple(_of_lease(row, place)))
        case "delayed":
            says = "where it will stand then depends on what waits by that time"
            if row.reason.startswith("key"):
                says = "that depends on when the job ends that holds the key"
            return Why(found, tuple(_of_delay(row, place)), eta_says=says)
    if is_intake(row.stream):
        blockers = [*_of_nobody(watchers, backends, capability, pin), *_of_leader(row, watchers, document)]
        if any(view.able and view.backend == "metal" for view in backends):
            full = metal_full(now_known, settings)
            blockers += [Blocker("no_room", full, "more slots (METAL_CONCURRENCY) or more watchers")] if full else []
        blockers += _of_limits(backends)
        dated = settings.conductor_policy == "deadline" and job.deadline is not None
        blockers += [] if dated else _of_others(place)
        blockers += _of_deadlines(job, now_known, settings)
        before = line_of(place, now_known)
    else:
        blockers = [*_of_lane(row, document, watchers)]
        before = place.ahead
    by_deadline = is_intake(row.stream) and settings.conductor_policy == "deadline"
    if by_deadline and job.deadline is not None:
        # Those before it may be later in time, and it may wait for its turn on purpose.
        said = f"the policy deadline takes jobs by their deadlines, not in their order; its own is {iso(job.deadline)}"
        return Why(found, tuple(blockers or [_next_in_line()]), backends, eta_says=said)
    eta = eta_in_line(capability, before, now_known, settings)
    if eta is None:
        said = _no_eta(backends)
    else:
        said = "later where jobs with a deadline go before it (policy deadline)" if by_deadline else ""
    return Why(found, tuple(blockers or [_next_in_line()]), backends, before, eta, said)


def _no_eta(backends: Sequence[BackendView]) -> str:
    if not any(view.able for view in backends):
        return "nobody who is alive can run it"
    return "nothing was measured of such jobs, or their limits let none through"


def _of_limits(backends: Sequence[BackendView]) -> Iterator[Blocker]:
    """What keeps a job from a backend that could run it, where no other takes it either."""
    if any(view.takes for view in backends):
        return
    for view in backends:
        if view.able and view.limit:
            yield Blocker(view.limit, f"{view.backend}: {view.says}", view.mend)


def _class_of(row: IndexRow) -> tuple[str, str]:
    """What the job needs and where it is pinned to, out of the name of its stream; `any` where nothing tells."""
    if is_intake(row.stream):
        intake = parse_intake(row.stream)
        return intake.capability, intake.pin
    try:
        return parse_lane(row.stream).capability, ""
    except ValueError:
        return "any", ""


def _of_lease(row: IndexRow, place: Place) -> Iterator[Blocker]:
    watcher = row.session.partition(":")[0]
    if place.session_left_ms is None:
        yield Blocker("watcher_gone", f"its watcher {watcher} has ended; the next sweep of a living one takes it back")
    elif place.session_left_ms <= 0:
        yield Blocker(
            "watcher_silent",
            f"its watcher {watcher} has not been heard of for a session life; a sweep will take the job back",
            "start a watcher with `job-watcher` if none is alive",
        )
    else:
        yield Blocker("running", f"it runs on watcher {watcher}, attempt {row.attempts_used + 1}")


def _of_delay(row: IndexRow, place: Place) -> Iterator[Blocker]:
    if row.reason.startswith("key"):
        holder = f"held by {place.key_holder}" if place.key_holder else "just set free"
        before = f", {place.key_ahead} waiting longer" if place.key_ahead else ""
        mend = f"`job-runner why {place.key_holder}` says how that job stands" if place.key_holder else ""
        yield Blocker("conflict_key", f"its conflict_key {row.key} is {holder}{before}", mend)
        due = row.reason.partition(":")[2]
        if due:
            yield Blocker("run_after", f"it may not run before {iso_from_ms(int(due))}")
        return
    when = "now" if place.due_ms is None else iso_from_ms(place.due_ms)
    if row.reason == "run_after":
        yield Blocker("run_after", f"it may not run before {when}")
    else:
        tries = f"{row.attempts_used} {'attempt' if row.attempts_used == 1 else 'attempts'}"
        after = f" after {tries}" if row.attempts_used else ""
        after += f" and {row.crashes} {'crash' if row.crashes == 1 else 'crashes'}" if row.crashes else ""
        if not after:
            after = "; no attempt was used up: a quota, the budget or a backend was in its way"
        yield Blocker("retry", f"it is tried again at {when}{after}")
    if place.due_ms is not None and place.due_ms <= place.now_ms:
        yield Blocker("due", "its time has come; the leading watcher queues it", "start a watcher with `job-watcher`")


def _of_nobody(
    watchers: Sequence[Mapping[str, Any]], backends: Sequence[BackendView], capability: str, pin: str
) -> Iterator[Blocker]:
    never = pin == RENTED and capability not in RENTED_CAPABILITIES
    if never:
        # Before all else: a watcher that is started now would not take it either.
        yield Blocker(
            "nobody_offers",
            f"it is pinned to {pin}, and rented machines run nothing but speech",
            "cancel it, take its backend out of the file, and enqueue it again",
        )
    start = _STARTS.get(pin, "`job-watcher`")
    if not watchers:
        yield Blocker("no_watcher", "no watcher is alive", f"start one with {start}")
    elif not never and not any(view.able for view in backends):
        paused = [view for view in backends if view.limit == "paused"]
        for view in paused:
            yield Blocker("paused", f"{view.backend}: {view.says}", view.mend)
        if paused:
            return
        where = f" on {pin}, where it is pinned to" if pin else ""
        yield Blocker(
            "nobody_offers",
            f"no living watcher offers {capability}{where}",
            f"start one with {start} that does, or queue the job without its pin"
            if pin
            else "start a watcher that does",
        )


def _of_leader(row: IndexRow, watchers: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Iterator[Blocker]:
    lock = document["lock"]
    if watchers and lock["owner"] is None:
        yield Blocker("no_leader", "no watcher leads at this moment; one takes over within seconds")
    backlog = parse_intake(row.stream).backlog
    if lock["backlogs"] and backlog not in lock["backlogs"]:
        served = f"backlog{'' if len(lock['backlogs']) == 1 else 's'} {', '.join(lock['backlogs'])}"
        yield Blocker(
            "left_alone",
            f"the conductor that leads, {lock['owner']}, serves only the {served}; this job waits in {backlog}",
            f"start it again with `--backlog backlog:{backlog}` too, or without --backlog; or stop it, and a "
            "watcher takes over",
        )


def _of_others(place: Place) -> Iterator[Blocker]:
    if place.higher:
        yield Blocker("higher_priority", f"{_jobs(place.higher)} of a higher priority before it")
    if place.ahead:
        number = f"{AHEAD_MAX} jobs or more" if place.ahead >= AHEAD_MAX else _jobs(place.ahead)
        yield Blocker("in_line", f"{number} before it in its backlog")
    if place.beside and (place.ahead or place.higher):
        kinds = "kind" if place.beside == 1 else "kinds"
        yield Blocker("turns", f"it takes turns with {place.beside} other {kinds} of jobs")


def _of_deadlines(job: Job, now_known: Known, settings: Settings) -> Iterator[Blocker]:
    """Who goes first by the policy `deadline`; which jobs these are, only the conductor knows."""
    others = sum(entry["waiting"] for entry in now_known.document["backlogs"].values()) - 1
    if settings.conductor_policy != "deadline" or others < 1:
        return
    what = "a deadline" if job.deadline is None else "a nearer deadline"
    yield Blocker("by_deadline", f"jobs with {what} go before it; {_jobs(others)} beside it waiting")


def _of_lane(row: IndexRow, document: Mapping[str, Any], watchers: Sequence[Mapping[str, Any]]) -> Iterator[Blocker]:
    lane = document["lanes"].get(row.stream, {})
    if not watchers:
        yield Blocker("no_watcher", "no watcher is alive", "start one with `job-watcher`")
    elif lane.get("running"):
        yield Blocker("slot_busy", f"it is ready in {row.stream}; {_jobs(lane['running'])} there must end first")


def _next_in_line() -> Blocker:
    return Blocker("next", "nothing is in its way: it is the next one")


def _jobs(number: int) -> str:
    return f"{number} {'job' if number == 1 else 'jobs'}"
