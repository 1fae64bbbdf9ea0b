"""What only the whole history can tell of promises 1 to 5, 7 and 8: answers, traces and records set side by side.

`soundness.py` looks at single steps, `asked.py` at what was asked for, `begins.py` at when bodies began, `recovery.py`
at how long the dead held jobs.
Pure; `checker.py` calls all.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.chaos.machine.asked import answers, as_asked
from tests.chaos.machine.begins import in_time, told, under_lease
from tests.chaos.machine.evidence import (
    AWAY,
    SEEN_SECONDS,
    by_id,
    calls_of,
    code_for,
    post_of,
    spans_of,
    standing,
    way,
    within,
)
from tests.chaos.machine.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.machine.history import BodyRun, Call, History
    from tests.chaos.machine.replay import Replay

_NEW: Final = frozenset({"submit", "foreign", "replace"})
_AGAIN: Final = frozenset({"replace", "retry"})
_REFUSALS: Final = frozenset({"conflict", "key_busy", "not_found", "unknown_task", "payload_lost"})
"""Answers after which nothing may have begun by that call."""
_HOLD_UPS: Final = (*AWAY, "pause", "long_pause", "blackhole", "long_blackhole")
"""Faults in which a call, or the process that made it, hangs; what it was about begins when they end."""


def accepted(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 1: what was answered `queued` began, and what began has ended."""
    for said in history.broken:
        yield Verdict(1, "the server's file", f"steps that were answered are gone: {said}")
    known = by_id(replay)
    for call in history.calls:
        for request_id, code in zip(call.ids, call.codes or (), strict=False):
            if code == "added" and call.do == "foreign" and history.drained and not known[request_id]:
                yield Verdict(1, request_id, "added by hand, and nothing began", call.sent)
            if code != "queued":
                continue
            if not any(within(call, each.at) for each in known[request_id]):
                seen = [f"generation {each.number} at {each.at:.3f}" for each in known[request_id]]
                yield Verdict(
                    1, request_id, f"{call.do} was answered `queued`, and nothing began", call.sent, tuple(seen)
                )
    for request_id, generations in known.items():
        for each in generations:
            if each.record is None and not history.cut_short:
                yield Verdict(1, request_id, "accepted, and it has no end", each.at, way(replay, each))


def once(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 2: every generation behind the first was asked for by a retry or a replacement of its own."""
    asked: defaultdict[str, list[Call]] = defaultdict(list)
    known: defaultdict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        for request_id in call.ids:
            may = code_for(call, request_id) not in _REFUSALS
            known[request_id] += [call] if may and call.do in _NEW else []
            asked[request_id] += [call] if may and call.do in _AGAIN else []
    for request_id, generations in by_id(replay).items():
        if request_id.startswith("foreign:"):
            continue
        if not any(call.sent <= generations[0].at + SEEN_SECONDS for call in known[request_id]):
            said = "it began, and nobody had asked for it, or all were refused"
            yield Verdict(2, request_id, said, generations[0].at, calls_of(history, request_id))
        free = list(asked[request_id])
        for each in generations[1:]:
            cause = next((call for call in free if within(call, each.at)), None)
            if cause is None:
                said = f"generation {each.number} began, and only {generations[0].number} was asked for"
                yield Verdict(2, request_id, said, each.at, calls_of(history, request_id))
            else:
                free.remove(cause)
    yield from _codes(history, replay)


def _codes(history: History, replay: Replay) -> Iterator[Verdict]:
    """An answer about content must agree with what was known: the same is no conflict, other content is one."""
    known = by_id(replay)
    for call in history.calls:
        for row, code in zip(call.rows, call.codes or (), strict=False):
            if code not in {"conflict", "duplicate_request"} and not code.startswith("already_"):
                continue
            there = standing(known[row[0]], call)
            same = {each.identity == row[1] for each in there}
            if there and same == {code == "conflict"}:
                what = "the same content" if code == "conflict" else "other content"
                yield Verdict(2, row[0], f"answered {code}, and what was known had {what}", call.sent)
            elif not there:
                yield Verdict(2, row[0], f"answered {code}, and nothing was known of it", call.sent)


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
    of_job: defaultdict[str, list[BodyRun]] = defaultdict(list)
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
        of_job[run.id].append(run)
    for request_id, runs in of_job.items():
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
    """Promise 5: out of contact for longer than L, a watcher starts no more than what was past its check already.

    That is one a slot, and only where something stood between check and begin: its process was paused, the reply to
    its call was held up until a moment ago, or the body runs in a process that had to start.
    """
    sessions = {session_dir(name): life for name, life in replay.sessions.items()}
    held_up = list(spans_of(history, *_HOLD_UPS))
    grace = history.slack / 4
    watchers = {note["pid"] for note in history.ground if note["is"] == "started"}
    late: Counter[tuple[str, float]] = Counter()
    for run in history.runs:
        life = sessions.get(run.session_dir)
        if life is None:
            continue
        # A body notes its begin at once, and a renewal is seen a moment after it came.
        seen = life.renewals[: bisect_right(life.renewals, run.begun + SEEN_SECONDS)]
        last = seen[-1] if seen else life.opened
        if run.begun - last <= history.life + grace:
            continue
        late[life.name, last] += 1
        post = post_of(life.name)
        mine = (span for target, span in held_up if target in {f"watcher-{post}", f"wire-{post}", "server"})
        waited = any(begin < last + history.life + grace and end > run.begun - 2 * grace for begin, end in mine)
        if not waited and (not watchers or run.pid in watchers):
            said = f"a body began on it, out of contact for {run.begun - last:.2f} s, and nothing had held it up"
            yield Verdict(5, life.name, said, run.begun, (f"last contact {last:.3f}", str(run)))
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
            yield Verdict(7, request_id, "innocent, and set aside as poison", each.recorded or 0.0, way(replay, each))
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
    # A run of an older machine did not look at what is published.
    for said in (*final["outputs"], *final.get("published", ())):
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
    *(accepted, once, records, as_asked, answers, in_time),
    *(fences, under_lease, leaders, self_stop, told, poison, last_look),
)
