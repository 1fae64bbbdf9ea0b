"""What a person may do about a job that failed, by the kind of its failure: mend the file, or only try again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from lib.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MEND_FIRST: Final = frozenset({"permanent", "payload_lost"})
"""The same job would fail the same way; the others may go well the next time."""


def after_failure(failed: Iterable[tuple[str, str]], files: str = "FILE", command: str = "enqueue FILE") -> list[str]:
    """One line for each kind of mend; `failed` are (request_id, error_type), `files` as a person typed them.

    `command` is what queues them.
    """
    mend: list[str] = []
    again: list[str] = []
    kinds: set[str] = set()
    for request_id, error_type in failed:
        if error_type in _MEND_FIRST:
            mend.append(request_id)
        else:
            again.append(request_id)
            kinds.add(error_type)
    steps: list[str] = []
    if mend:
        it = "it" if len(mend) == 1 else "them"
        steps.append(
            f"failed for good: mend {it} in {files}, then `job-runner {command} --replace`; "
            f"if the cause was elsewhere and is mended: `job-runner retry {_named(mend)}`"
        )
    if again:
        said = ", ".join(sorted(kinds))
        steps.append(f"failed ({said}): may go well the next time; `job-runner retry {_named(again)}` tries again")
    return steps


def _named(request_ids: list[str]) -> str:
    return typed(request_ids) if len(request_ids) == 1 else "ID"


def typed(words: Iterable[object]) -> str:
    """Ids or files as one types them at a shell, blanks and quotes included."""
    return " ".join(shlex.quote(str(word)) for word in words)


def after_loss(number: int, files: str = "FILE") -> str:
    """What a person may do about done jobs whose files are gone: nothing makes them again by itself."""
    jobs, each = ("1 job", "it") if number == 1 else (f"{number} jobs", "each of them")
    return (
        f"file missing: what {jobs} made is not on this machine any more, or not whole; the record stays done, so that "
        f"`enqueue`, its --replace and `retry` make nothing of it again. To have it made: give {each} a new request_id "
        f"in {files}, beside the same output_name, and `job-runner enqueue {files}`; or change the text and enqueue "
        "with --replace; or forget all records with `job-runner flush --hard`"
    )


def no_jobs_in(files: Iterable[object]) -> str:
    """What to say about files without a job."""
    return f"no jobs in {typed(files)}; write them as a list below `jobs:`, each with a dash, a name and a text"


def no_such_job(request_id: str) -> NotFoundError:
    """The error for an id that nothing is known about."""
    return NotFoundError(
        f"no job {request_id!r}", hint="`job-runner history` lists the newest finished ones, `status` what waits"
    )
