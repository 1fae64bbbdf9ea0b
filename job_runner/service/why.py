"""Why a job is where it is: what stands in its way, in the order in which it must go, and what each backend says.

`explain` is pure; `why` gathers what it is made from. It tells what is known now and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lib.clock import iso_from_ms
from lib.redisqueue import reader
from lib.redisqueue.keys import is_intake, parse_intake, parse_lane
from lib.redisqueue.overview import overview
from lib.redisqueue.place import AHEAD_MAX, Place, place_of
from lib.routing.policy import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lib.redisqueue.queue import Queue
    from lib.redisqueue.reader import Found
    from lib.redisqueue.rows import IndexRow
    from lib.settings import Settings


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing in a job's way; `mend` is what a person can do about it, empty when only time helps."""

    kind: str
    says: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class BackendView:
    """What one backend says to the job: taken, or why not."""

    backend: str
    takes: bool
    says: str


@dataclass(frozen=True, slots=True)
class Why:
    """The answer."""

    found: Found
    blockers: tuple[Blocker, ...] = ()
    backends: tuple[BackendView, ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON of `why`."""
        row = self.found.row
        return {
            "request_id": self.found.request_id,
            "status": self.found.status,
            "where": row.stream if row is not None and row.stream else None,
            "blockers": [asdict(blocker) for blocker in self.blockers],
            "backends": [asdict(view) for view in self.backends],
            "progress": self.found.progress,
        }


async def why(queue: Queue, settings: Settings, request_id: str) -> Why:
    """What is known now about the way of this job; status `not_found` when nothing is."""
    (found,) = await reader.results(queue, [request_id])
    if found.row is None:
        return Why(found)
    place = await place_of(queue, request_id, found.row)
    document = await overview(queue, lease_idle_ms=settings.watcher_lease_idle_ms)
    return explain(found, place, document, queue_max=settings.metal_queue_max)


def explain(found: Found, place: Place, overview_document: Mapping[str, Any], *, queue_max: int) -> Why:
    """The answer for an active job, out of its place and the document of `status`.

    `queue_max` is METAL_QUEUE_MAX as this process knows it; the watcher that leads may have another.
    """
    row = found.row
    assert row is not None  # noqa: S101 - the caller looked
    watchers = [each for each in overview_document["watchers"] if each["alive"]]
    capability, pin = _class_of(row)
    # A pin may name one that does not exist; that is told as what is in the job's way.
    backends = tuple(_backend_view(backend, capability, pin, watchers) for backend in BACKENDS)
    match row.state:
        case "leased":
            return Why(found, tuple(_of_lease(row, place)))
        case "delayed":
            return Why(found, tuple(_of_delay(row, place)))
    if is_intake(row.stream):
        blockers = [*_of_nobody(watchers, backends, capability, pin), *_of_leader(watchers, overview_document)]
        if any(view.takes and view.backend == "metal" for view in backends):
            blockers += _of_room(watchers, overview_document, queue_max)
        blockers += _of_others(place)
    else:
        blockers = [*_of_lane(row, overview_document, watchers)]
    return Why(found, tuple(blockers or [_next_in_line()]), backends)


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
        yield Blocker("retry", f"it is tried again at {when}{after}")
    if place.due_ms is not None and place.due_ms <= place.now_ms:
        yield Blocker("due", "its time has come; the leading watcher queues it", "start a watcher with `job-watcher`")


def _of_nobody(
    watchers: Sequence[Mapping[str, Any]], backends: Sequence[BackendView], capability: str, pin: str
) -> Iterator[Blocker]:
    absent = pin not in {"", *BACKENDS} and not any(view.takes for view in backends)
    if absent:
        # Before all else: a watcher that is started now would not take it either.
        yield Blocker(
            "nobody_offers",
            f"it is pinned to {pin}, and no living watcher offers the backend {pin}: there is none yet",
            "cancel it, take its backend out of the file, and enqueue it again",
        )
    if not watchers:
        yield Blocker("no_watcher", "no watcher is alive", "start one with `job-watcher`")
    elif not absent and not any(view.takes for view in backends):
        where = f" on {pin}, where it is pinned to" if pin else ""
        yield Blocker(
            "nobody_offers",
            f"no living watcher offers {capability}{where}",
            "start a watcher that does, or queue the job without its pin" if pin else "start a watcher that does",
        )


def _of_leader(watchers: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Iterator[Blocker]:
    if watchers and document["lock"]["owner"] is None:
        yield Blocker("no_leader", "no watcher leads at this moment; one takes over within seconds")


def _of_room(watchers: Sequence[Mapping[str, Any]], document: Mapping[str, Any], queue_max: int) -> Iterator[Blocker]:
    slots = sum(each.get("slots", {}).get("metal", 0) for each in watchers)
    held = sum(lane["length"] for lane in document["lanes"].values() if lane["backend"] == "metal")
    if slots and held >= slots * queue_max:
        yield Blocker(
            "no_room",
            f"metal is full: {held} jobs wait or run there, for {slots} {'slot' if slots == 1 else 'slots'} "
            f"with {queue_max} each",
            "more slots (METAL_CONCURRENCY) or more watchers",
        )


def _of_others(place: Place) -> Iterator[Blocker]:
    if place.higher:
        yield Blocker("higher_priority", f"{_jobs(place.higher)} of a higher priority before it")
    if place.ahead:
        number = f"{AHEAD_MAX} jobs or more" if place.ahead >= AHEAD_MAX else _jobs(place.ahead)
        yield Blocker("in_line", f"{number} before it in the same line")
    if place.beside and (place.ahead or place.higher):
        yield Blocker(
            "turns", f"{place.beside} other {'line takes' if place.beside == 1 else 'lines take'} turns with it"
        )


def _of_lane(row: IndexRow, document: Mapping[str, Any], watchers: Sequence[Mapping[str, Any]]) -> Iterator[Blocker]:
    lane = document["lanes"].get(row.stream, {})
    if not watchers:
        yield Blocker("no_watcher", "no watcher is alive", "start one with `job-watcher`")
    elif lane.get("running"):
        yield Blocker("slot_busy", f"it is ready in {row.stream}; {_jobs(lane['running'])} there must end first")


def _next_in_line() -> Blocker:
    return Blocker("next", "nothing is in its way: it is the next one")


def _backend_view(backend: str, capability: str, pin: str, watchers: Sequence[Mapping[str, Any]]) -> BackendView:
    if pin and pin != backend:
        return BackendView(backend, takes=False, says=f"the job is pinned to {pin}")
    offering = [each for each in watchers if backend in each.get("slots", {})]
    if not offering:
        return BackendView(backend, takes=False, says=f"no living watcher offers the backend {backend}")
    able = [each for each in offering if capability in each.get("capabilities", ())]
    if not able:
        return BackendView(backend, takes=False, says=f"its watchers do not offer {capability}")
    slots = sum(each["slots"][backend] for each in able)
    if not slots:
        return BackendView(backend, takes=False, says="its watchers are stopping")
    return BackendView(backend, takes=True, says=f"{slots} {'slot' if slots == 1 else 'slots'} for {capability}")


def _jobs(number: int) -> str:
    return f"{number} {'job' if number == 1 else 'jobs'}"
