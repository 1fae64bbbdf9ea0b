"""Whether what a task gave back is what it was asked for: one check for each kind of job, beside the kinds.

A record says `done` because an attempt ended well. `job-runner verify` asks more of it: that the nap was as long as it
should be, that the echo is the message, that no step of a round is missing. A check is pure, looks at the job as it
is asked for now and at its done record, and answers with what is wrong, or None. It raises nothing, whatever a record
that was changed by hand may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.problems import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.jobqueue.spec import JobSpec

    ReceiptCheck = Callable[[JobSpec, Mapping[str, Any]], str | None]

LIFECYCLE: Final = ("created", "read", "updated", "verified", "deleted", "confirmed_gone")
"""The steps of a round through the database, in their order."""

# Records keep milliseconds, and a clock may stop that much short of a second.
_SHORT_BY_SECONDS: Final = 0.002


def echoed(job: JobSpec, record: Mapping[str, Any]) -> str | None:
    """`debug` gave its message back."""
    wanted, got = job.payload.get("message", ""), _result(record).get("message")
    return None if got == wanted else f"message is {shown(got)}, not {shown(wanted)}"


def slept(job: JobSpec, record: Mapping[str, Any]) -> str | None:
    """`sleep` slept as long as it was told to, or longer."""
    wanted, got = job.payload.get("seconds", 0), _result(record).get("slept_seconds")
    if not _is_number(got):
        return f"slept_seconds is {shown(got)}, no number"
    return None if got >= wanted - _SHORT_BY_SECONDS else f"slept {got:g} s, not {wanted:g}"


def went_round(_: JobSpec, record: Mapping[str, Any]) -> str | None:
    """`fast_crud` did every step, in order."""
    got = _result(record).get("lifecycle")
    if not isinstance(got, list):
        return f"lifecycle is {shown(got)}, no list of steps"
    if tuple(got) == LIFECYCLE:
        return None
    missing = [step for step in LIFECYCLE if step not in got]
    return f"lifecycle lacks {', '.join(missing)}" if missing else f"lifecycle is out of order: {shown(got)}"


def slept_and_went_round(job: JobSpec, record: Mapping[str, Any]) -> str | None:
    """`sleep_crud` did both."""
    return slept(job, record) or went_round(job, record)


def spoke(job: JobSpec, record: Mapping[str, Any]) -> str | None:
    """`speak` made as many takes as were asked for, and none of them empty."""
    outputs = record.get("outputs")
    takes = outputs.get("takes") if isinstance(outputs, dict) else None
    if not isinstance(takes, list) or len(takes) != job.variants:
        made = len(takes) if isinstance(takes, list) else 0
        return f"{made} of {job.variants} takes are in the record"
    empty = [take for take in takes if not (isinstance(take, dict) and _is_number(take.get("bytes")) and take["bytes"])]
    return f"{len(empty)} of {job.variants} takes are empty" if empty else None


def annotated(job: JobSpec, record: Mapping[str, Any]) -> str | None:
    """`annotate` left no record of its batch without an annotation."""
    wanted, result = len(job.payload.get("records", ())), _result(record)
    failed = result.get("failed")
    if not isinstance(failed, list):
        return f"failed is {shown(failed)}, no list of records"
    if failed:
        first = failed[0] if isinstance(failed[0], dict) else {}
        return f"{len(failed)} of {wanted} records failed: {shown(first.get('id'))}: {shown(first.get('error'))}"
    done, skipped = result.get("annotated"), result.get("skipped")
    if isinstance(done, int) and isinstance(skipped, int) and done + skipped == wanted:
        return None
    return f"{shown(done)} annotated and {shown(skipped)} skipped are not the {wanted} records of the batch"


def _result(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = record.get("result")
    return found if isinstance(found, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
