"""What came of each job and each call, against what was asked for: the status of a record, and answers about it.

A body does what its job says, and the producers note what they ask; so it is known how every job must end. Pure;
called as part of `checks.ALL`. Whether the guilty end as poison, and they alone, is judged by `checks.poison`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tests.chaos.machine.evidence import by_id, calls_of, code_for, spans_of, standing, way, window, within
from tests.chaos.machine.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.machine.evidence import Span
    from tests.chaos.machine.history import Asked, Call, History
    from tests.chaos.machine.replay import Generation, Replay

STORE_SECONDS: Final = 2.0
"""So long after its body an output may still be on its way to the disk."""

_CANCELLED: Final = frozenset({None, "cancelled", "already_cancelled"})
"""What a cancel that came through may have been answered; the last, where its first reply was lost."""


def as_asked(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 3: the one record says how the job was to end, after as many attempts as that takes."""
    full = [span for _, span in spans_of(history, "disk_full")]
    for each in replay.generations.values():
        if each.record is None or each.head is None:
            continue
        if each.head.status == "cancelled":
            said = "" if _was_cancelled(history, each) else "cancelled, and nobody asked for that"
        else:
            said = _wrong(history, replay, each, full)
        if said:
            evidence = (each.record[:600], *calls_of(history, each.id), *way(replay, each))
            yield Verdict(3, each.id, said, each.recorded or 0.0, evidence)


def _was_cancelled(history: History, each: Generation) -> bool:
    """Whether a cancel that may have come through was under way when the record came."""
    wishes = (call for call in history.calls if call.do == "cancel" and each.id in call.ids)
    return any(code_for(call, each.id) in _CANCELLED and within(call, each.recorded or 0.0) for call in wishes)


def _wrong(history: History, replay: Replay, each: Generation, full: list[Span]) -> str:
    """What is wrong with a record that is done or failed; empty when nothing is, or another check judges it."""
    assert each.record is not None
    assert each.head is not None
    record, status, attempts = json.loads(each.record), each.head.status, each.head.attempt
    if each.id.startswith("foreign:"):
        return "" if status == "failed" else f"it is no job, and it ended as {status}"
    job = history.asked.get(each.id)
    if job is None or each.id in history.guilty or record.get("error_type") == "poison":
        return ""
    lost = _lost_to_the_disk(history, replay, each, full) if job.do == "output" else 0
    if status == "failed" and lost >= attempts > 0 and record.get("error_type") == "transient_exhausted":
        return ""
    return _unlike(job, status, str(record.get("error_type")), attempts, lost)


def _unlike(job: Asked, status: str, error_type: str, attempts: int, lost: int) -> str:
    """What differs from how a job was to end; the disk may have cost it `lost` attempts."""
    wanted = "failed" if job.do == "fatal" else "done"
    if status != wanted:
        return f"it was to be {wanted} ({job.do}), and it ended as {status}"
    if job.do == "fatal" and error_type != "permanent":
        return f"it was to fail for good, and its record says {error_type}"
    needed = job.fails + 1
    if not needed <= attempts <= needed + lost:
        return f"it ended in attempt {attempts}, and needs {needed} ({job.do}; the disk may have cost it {lost})"
    return ""


def _lost_to_the_disk(history: History, replay: Replay, each: Generation, full: list[Span]) -> int:
    """How many of its bodies ended at a time when the disk of the outputs was full, so that an attempt may be lost."""
    leases = {lease.fence for lease in replay.leases.values() if lease.generation == each.number}
    ends = [run.ended for run in history.runs if run.fence in leases and run.ended is not None]
    return sum(any(begin - STORE_SECONDS <= end <= over for begin, over in full) for end in ends)


def answers(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 3: an answer about a job's state agrees with the record, or its absence, at that time."""
    known = by_id(replay)
    for call in history.calls:
        for request_id, code in zip(call.ids, call.codes or (), strict=False):
            said = _untrue(call, code, known[request_id])
            if said:
                evidence = (*calls_of(history, request_id), *(f"{each}"[:400] for each in known[request_id]))
                yield Verdict(3, request_id, f"{call.do} was answered {code}, and {said}", call.sent, evidence)


def _untrue(call: Call, code: str, generations: list[Generation]) -> str:
    """What was so instead of what a call was told of one id; empty when it was told the truth."""
    begin, end = window(call)
    there = standing(generations, call)
    match code:
        case "cancelled":
            came = (each for each in generations if each.head is not None and each.head.status == "cancelled")
            return "" if any(within(call, each.recorded or 0.0) for each in came) else "no such record came"
        case "already_done" | "already_failed" | "already_cancelled":
            status = code.removeprefix("already_")
            so = (each for each in there if each.head is not None and each.head.status == status)
            return "" if any((each.recorded or 0.0) <= end for each in so) else "no such record stood"
        case "active" | "duplicate_request":
            return "" if any(each.recorded is None or each.recorded >= begin for each in there) else "it had ended"
        case "not_found":
            return "it was known" if any(each.at <= begin for each in there) else ""
    return ""
