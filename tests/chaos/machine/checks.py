"""What only the whole history can tell of promises 1 to 5, 7 and 8: answers, traces and records set side by side.

`soundness.py` looks at single steps and `recovery.py` at how long the dead held jobs. Pure; `checker.py` calls all.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.chaos.machine.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.machine.history import BodyRun, Call, History
    from tests.chaos.machine.replay import Generation, Replay

SEEN_SECONDS: Final = 0.5
"""How much later than it happened a step may have been seen."""

_NEW: Final = frozenset({"submit", "foreign"})
_AGAIN: Final = frozenset({"replace", "retry"})


def accepted(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 1: what was answered `queued` began, and what began has ended."""
    for said in history.broken:
        yield Verdict(1, "the server's file", f"steps that were answered are gone: {said}")
    by_id = _by_id(replay)
    for call in history.calls:
        for request_id, code in zip(call.ids, call.codes or (), strict=False):
            if code == "added" and call.do == "foreign" and history.drained and not by_id[request_id]:
                yield Verdict(1, request_id, "added by hand, and nothing began", call.sent)
            if code != "queued":
                continue
            if not any(_within(call, each.at) for each in by_id[request_id]):
                seen = [f"generation {each.number} at {each.at:.3f}" for each in by_id[request_id]]
                yield Verdict(
                    1, request_id, f"{call.do} was answered `queued`, and nothing began", call.sent, tuple(seen)
                )
    for request_id, generations in by_id.items():
        for each in generations:
            if each.record is None and not history.cut_short:
                yield Verdict(1, request_id, "accepted, and it has no end", each.at, _way(replay, each))


def once(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 2: every generation behind the first was asked for by a retry or a replacement of its own."""
    asked: defaultdict[str, list[Call]] = defaultdict(list)
    known: set[str] = set()
    for call in history.calls:
        for request_id in call.ids:
            known.add(request_id)
            if call.do in _AGAIN:
                asked[request_id].append(call)
    for request_id, generations in _by_id(replay).items():
        if request_id.startswith("foreign:"):
            continue
        if request_id not in known:
            yield Verdict(2, request_id, "nobody asked for it", generations[0].at)
        free = list(asked[request_id])
        for each in generations[1:]:
            cause = next((call for call in free if _within(call, each.at)), None)
            if cause is None:
                said = f"generation {each.number} began, and only {generations[0].number} was asked for"
                yield Verdict(2, request_id, said, each.at, _calls(history, request_id))
            else:
                free.remove(cause)
    yield from _codes(history, replay)


def _codes(history: History, replay: Replay) -> Iterator[Verdict]:
    """An answer about content must agree with what was known: the same is no conflict, other content is one."""
    by_id = _by_id(replay)
    for call in history.calls:
        for row, code in zip(call.rows, call.codes or (), strict=False):
            if code not in {"conflict", "duplicate_request"} and not code.startswith("already_"):
                continue
            standing = _standing(by_id[row[0]], call)
            same = {each.identity == row[1] for each in standing}
            if standing and same == {code == "conflict"}:
                what = "the same content" if code == "conflict" else "other content"
                yield Verdict(2, row[0], f"answered {code}, and what was known had {what}", call.sent)
            elif not standing:
                yield Verdict(2, row[0], f"answered {code}, and nothing was known of it", call.sent)


def _standing(generations: list[Generation], call: Call) -> list[Generation]:
    """The generations that were the newest of their id at some time between a call and its answer."""
    end = (call.answered or call.sent) + SEEN_SECONDS
    begun = [each for each in generations if each.at <= end]
    older = [each for each in begun if each.at <= call.sent - SEEN_SECONDS]
    return begun[max(len(older) - 1, 0) :]


def records(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promises 3 and 4: a done record has the right bytes, and is by a run that finished under its fence."""
    echoes = {(row[0], row[1]): row[3] for call in history.calls for row in call.rows}
    finished = {run.nonce: run for run in history.runs if run.how == "ok"}
    for (request_id, _), each in replay.generations.items():
        if each.record is None or each.head is None or each.head.status != "done":
            continue
        result = json.loads(each.record).get("result") or {}
        echo, at = echoes.get((request_id, each.identity)), each.recorded or 0.0
        if echo is not None and result.get("echo") != hashlib.sha256(echo.encode()).hexdigest()[:32]:
            yield Verdict(3, request_id, "the record is of other content than was asked for", at, (each.record[:400],))
        run = finished.get(str(result.get("nonce")))
        if run is None:
            yield Verdict(4, request_id, "a record of a run that never finished", at, (each.record[:400],))
        elif (run.id, run.fence) != (request_id, each.head.fence):
            said = f"the record bears fence {each.head.fence}, and its run had {run.fence} of {run.id}"
            yield Verdict(4, request_id, said, at, (str(run),))


def fences(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 4: no body without a lease, one under each fence, and the next only when the lease before was over."""
    first: dict[str, BodyRun] = {}
    by_id: defaultdict[str, list[BodyRun]] = defaultdict(list)
    for run in history.runs:
        lease = replay.leases.get(run.fence)
        if lease is None or lease.id != run.id:
            yield Verdict(
                4, run.id, f"a body ran under fence {run.fence}, which it was never given", run.begun, (str(run),)
            )
        if run.fence in first:
            yield Verdict(
                4, run.id, f"two bodies under fence {run.fence}", run.begun, (str(first[run.fence]), str(run))
            )
        first[run.fence] = run
        by_id[run.id].append(run)
    for request_id, runs in by_id.items():
        for earlier, later in pairwise(runs):
            lease = replay.leases.get(earlier.fence)
            over = lease is not None and lease.ended is not None and lease.ended <= later.begun + SEEN_SECONDS
            if int(later.fence) > int(earlier.fence) and not over:
                said = "a body began while the lease of the one before stood"
                yield Verdict(4, request_id, said, later.begun, (str(earlier), str(later)))


def leaders(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 4: only the session that leads, in its own epoch, moves jobs to lanes."""
    newest: dict[str, str] = {"session": "nobody", "epoch": "0"}
    for each in history.moves:
        if int(each["epoch"]) > int(newest["epoch"]):
            newest = each
        wrong = int(each["epoch"]) < int(newest["epoch"]) or _has_ended(replay, each["session"], each["at"])
        if each["is"] == "move" and wrong:
            said = f"it moved jobs in epoch {each['epoch']}, and did not lead any more"
            yield Verdict(4, each["session"], said, each["at"], (f"{newest['session']} led in {newest['epoch']}",))


def _has_ended(replay: Replay, session: str, at: float) -> bool:
    """Whether a session was over by then."""
    life = replay.sessions.get(session)
    return life is not None and life.ended is not None and life.ended + SEEN_SECONDS < at


def self_stop(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 5: out of contact for longer than L, a watcher starts no more than one a slot, which was under way."""
    sessions = {session_dir(name): life for name, life in replay.sessions.items()}
    late: Counter[tuple[str, float]] = Counter()
    for run in history.runs:
        life = sessions.get(run.session_dir)
        if life is None:
            continue
        seen = life.renewals[: bisect_right(life.renewals, run.begun)]
        last = seen[-1] if seen else life.opened
        if run.begun - last > history.life + SEEN_SECONDS:
            late[life.name, last] += 1
    for (session, last), count in late.items():
        if count > history.slots:
            said = f"{count} bodies began on it, out of contact since {last:.3f}; it has {history.slots} slots"
            yield Verdict(5, session, said, last)


def session_dir(session: str) -> str:
    """The name of a session's work directory, as the trace has it."""
    safe = re.sub(r"[^A-Za-z0-9-]", "_", session)[:32]
    return f"{safe}-{hashlib.sha256(session.encode()).hexdigest()[:8]}"


def poison(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 7: whoever kills what runs it ends as poison, and nobody else does."""
    for (request_id, _), each in replay.generations.items():
        if each.record is None or each.head is None or each.head.status == "cancelled":
            continue
        said = json.loads(each.record).get("error_type")
        if said == "poison" and request_id not in history.guilty:
            yield Verdict(7, request_id, "innocent, and set aside as poison", each.recorded or 0.0, _way(replay, each))
        if said != "poison" and request_id in history.guilty:
            yield Verdict(7, request_id, f"guilty, and it ended as {each.head.status}", each.recorded or 0.0)


def last_look(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 8 at the end: nothing contradicts itself, fsck is clean, and the history tells of the same queue."""
    final = history.final
    if history.cut_short:
        return
    if not final:
        yield Verdict(8, "the queue", "there was no last look: the run did not come to its end")
        return
    for said in final["contradictions"]:
        yield Verdict(8, said.partition(":")[0], said)
    for said in final["outputs"]:
        yield Verdict(3, said.partition(":")[0], said)
    if final["imbalance"]:
        yield Verdict(8, "the queue", f"accepted and not accounted for: {final['imbalance']}")
    for said in (*final["fsck"], *(f"unknown key {key}" for key in final["unknown_keys"])):
        yield Verdict(8, said.split()[1].rstrip(":"), said)
    told = {request_id: raw for request_id, (_, raw) in replay.records.items()}
    for request_id in sorted(told.keys() ^ final["records"].keys()):
        where = "the history" if request_id in told else "the queue"
        yield Verdict(8, request_id, f"its record is only in {where}")
    if sorted(replay.rows) != final["rows"]:
        yield Verdict(
            8, "the index", f"the history ends with rows {sorted(replay.rows)}, the queue with {final['rows']}"
        )


ALL: Final[tuple[Callable[[History, Replay], Iterator[Verdict]], ...]] = (
    *(accepted, once, records, fences, leaders),
    *(self_stop, poison, last_look),
)


def _by_id(replay: Replay) -> defaultdict[str, list[Generation]]:
    found: defaultdict[str, list[Generation]] = defaultdict(list)
    for (request_id, _), each in replay.generations.items():
        found[request_id].append(each)
    return found


def _within(call: Call, at: float) -> bool:
    """Whether a step at this time may be of this call; an unanswered one may have come through at any time since."""
    return call.sent <= at + SEEN_SECONDS and (call.answered is None or at <= call.answered + SEEN_SECONDS)


def _way(replay: Replay, generation: Generation) -> tuple[str, ...]:
    """Everything that is known of one generation's leases."""
    leases = [each for each in replay.leases.values() if each.generation == generation.number]
    row = replay.rows.get(generation.id)
    return (
        f"began at {generation.at:.3f}",
        *(f"lease {each.fence} of {each.session} from {each.at:.3f} to {each.ended}" for each in leases),
        f"row at the end: {row}",
    )


def _calls(history: History, request_id: str) -> tuple[str, ...]:
    return tuple(
        f"{call.do} sent {call.sent:.3f} answered {call.answered}: "
        f"{'unknown' if call.codes is None else call.codes[call.ids.index(request_id)]}"
        for call in history.calls
        if request_id in call.ids
    )
