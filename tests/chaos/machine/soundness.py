"""What must be true after every single step of a queue, since every step is atomic. Pure; looks at what was touched.

Called for each step of a replay; `checks.py` asks what only the whole history can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.machine.replay import Replay
from tests.chaos.machine.verdicts import Verdict
from tests.conformance.truth import parse_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chaos.machine.history import History
    from tests.chaos.machine.replay import Step
    from tests.conformance.truth import Row

MOST_VERDICTS = 200
"""A broken queue breaks at every step; so many are enough to see how."""


def replayed(history: History) -> tuple[Replay, list[Verdict]]:
    """The end of a history's replay, and what was wrong on the way."""
    replay = Replay(history.life, history.sweep)
    verdicts: list[Verdict] = []
    for line in history.lines:
        step = replay.step(line)
        if len(verdicts) < MOST_VERDICTS:
            verdicts += look(replay, step)
    return replay, verdicts


def look(replay: Replay, step: Step) -> list[Verdict]:
    """Everything that is wrong after this step and was touched by it."""
    return [
        *_sum(replay, step),
        *_jobs(replay, step),
        *_records(replay, step),
        *_sessions(replay, step),
        *_keys(replay, step),
    ]


def _sum(replay: Replay, step: Step) -> Iterator[Verdict]:
    """Promise 8, at every step: accepted is active, ended, or gone by a counter."""
    counts = replay.counts
    gone = counts.get("expired", 0) + counts.get("flushed", 0)
    off = counts.get("accepted", 0) - gone - len(replay.rows) - len(replay.records)
    if off != replay.off:
        replay.off = off
        who = ", ".join(sorted(step.ids)[:5])
        yield Verdict(8, who, f"after this step {off} accepted jobs are not accounted for", step.at)


def _jobs(replay: Replay, step: Step) -> Iterator[Verdict]:
    for request_id in sorted(step.ids - {""}):
        row, before = replay.rows.get(request_id), step.rows_before.get(request_id)
        if row is not None:
            yield from _row(replay, step, request_id, row)
        if (request_id in replay.kept or request_id in replay.due) and (row is None or row.state != "D"):
            yield Verdict(8, request_id, "not delayed, and something of a delay is left", step.at)
        if request_id in step.rows_before:
            yield from _change(replay, step, request_id, before, row)


def _row(replay: Replay, step: Step, request_id: str, row: Row) -> Iterator[Verdict]:
    if row.state == "D":
        if request_id not in replay.kept:
            yield Verdict(8, request_id, "delayed, and its job is kept nowhere", step.at, _said(row))
        if request_id not in replay.due and not row.waits_for_key:
            yield Verdict(8, request_id, "delayed, and it is never due", step.at, _said(row))
        return
    place = (row.stream, row.entry)
    if replay.entries.get(place) != (request_id, row.generation):
        gone = "its entry was taken away" if place in step.entries_gone else "its place is empty or another's"
        yield Verdict(8, request_id, f"{gone}, and the row still says {row.stream} {row.entry}", step.at, _said(row))


def _change(replay: Replay, step: Step, request_id: str, before: Row | None, after: Row | None) -> Iterator[Verdict]:
    if after is not None and before is not None and after.generation != before.generation:
        yield Verdict(2, request_id, "a new generation began while one was active", step.at, _said(before, after))
    if after is None and before is not None and request_id not in dict(step.records_set):
        yield Verdict(1, request_id, "its row went and no record came", step.at, _said(before))
    if after is None or after.state != "L" or (before is not None and before.fence == after.fence):
        return
    if before is not None and before.state == "L" and before.session != after.session:
        yield Verdict(4, request_id, "leased again while another session had it", step.at, _said(before, after))
    holder = replay.pending.get((after.stream, after.entry), "nobody")
    if holder != after.session:
        yield Verdict(
            4, request_id, f"leased to {after.session} for an entry delivered to {holder}", step.at, _said(after)
        )
    if after.session not in replay.live:
        yield Verdict(4, request_id, f"leased to {after.session}, which is no session", step.at, _said(after))
    if int(after.fence) <= replay.fence_before:
        yield Verdict(
            4, request_id, f"a fence of old: the counter stood at {replay.fence_before}", step.at, _said(after)
        )


def _records(replay: Replay, step: Step) -> Iterator[Verdict]:
    for request_id, raw in step.records_set:
        head, before = parse_head(raw), step.rows_before.get(request_id)
        said = (raw[:200], *_said(*([before] if before else [])))
        if step.recorded_before.get(request_id) is not None:
            yield Verdict(3, request_id, f"a second record of generation {head.generation}", step.at, said)
        elif before is None and not request_id.startswith("foreign:"):
            yield Verdict(3, request_id, "a record of a job that was not active", step.at, said)
        elif before is not None:
            if before.generation != head.generation:
                yield Verdict(3, request_id, f"the record is of generation {head.generation}", step.at, said)
            held = before.state == "L" and before.fence == head.fence
            if not held and (head.status == "done" or int(head.fence) <= replay.fence_before):
                yield Verdict(4, request_id, f"a record under fence {head.fence}, which did not stand", step.at, said)
            elif held and before.session not in replay.live:
                yield Verdict(4, request_id, f"a record by {before.session}, which had ended", step.at, said)
    for request_id, earlier in step.records_before.items():
        gone = earlier is not None and request_id not in replay.records
        if gone and request_id not in replay.rows and not replay.counts.get("expired"):
            yield Verdict(3, request_id, "its record went and nothing came", step.at, (str(earlier)[:200],))


def _sessions(replay: Replay, step: Step) -> Iterator[Verdict]:
    for session, was_live in step.sessions_before.items():
        life = replay.sessions.get(session)
        if life is None:
            continue
        if session in replay.live and not was_live and life.ended is not None:
            yield Verdict(4, session, f"it came back after its end at {life.ended:.3f}", step.at)
        if was_live and session not in replay.live and step.swept:
            aged = _aged_ms(replay, life.renewed_ms, life.sweeps_then)
            if aged < replay.life_ms - 1:
                said = f"ended by a sweep, {aged / 1000:.3f} s of time in which the server was seen after its renewal"
                yield Verdict(6, session, said, step.at, (f"a session lives {replay.life_ms / 1000:g} s",))
    for before in step.leaders:
        now = replay.leader
        if before and now and before != now and before[0] in replay.live:
            yield Verdict(4, now[0], f"took the lead while {before[0]} had it", step.at)


def _aged_ms(replay: Replay, renewed_ms: float, sweeps_then: int) -> float:
    """Server time since a renewal, without the gaps between sweeps in which nobody saw the server."""
    times = [time_ms for _, time_ms in replay.sweeps]
    aged = 0.0
    for i in range(max(sweeps_then, 1), len(times)):
        earlier, later = times[i - 1], times[i]
        gap = later - earlier
        if 0 <= gap <= 2 * replay.sweep_ms:
            aged += later - max(earlier, renewed_ms) if i == sweeps_then else gap
        elif gap < 0 and i == sweeps_then:
            # The renewal may have come after the step back, in the new time.
            aged += max(0.0, later - renewed_ms)
    return aged


def _keys(replay: Replay, step: Step) -> Iterator[Verdict]:
    for key, before in step.keys_before.items():
        now = replay.keys.get(key)
        if before is None or before == now:
            continue
        generation, _, request_id = before.partition("|")
        row = replay.rows.get(request_id)
        if row is not None and row.generation == generation and not row.waits_for_key:
            said = f"key {key} went from it to {now or 'nobody'} while it was active"
            yield Verdict(8, request_id, said, step.at, _said(row))
    for request_id in step.ids:
        row = replay.rows.get(request_id)
        if row is None or not row.key or row.waits_for_key:
            continue
        holder = replay.keys.get(row.key)
        if holder != f"{row.generation}|{request_id}":
            yield Verdict(8, request_id, f"active without its key {row.key}, which {holder} holds", step.at, _said(row))


def _said(*rows: Row) -> tuple[str, ...]:
    return tuple(_told(rows))


def _told(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        place = f"{row.stream} {row.entry}"
        yield f"row: {row.state} generation {row.generation} {place} session {row.session} fence {row.fence}"
