"""The voice of a row that has other mistakes, looked at by itself, so that it is told with them and not a round later.

What inspects jobs sees only sound ones. A row that is not sound is shown to it as a plain job with this row's voice,
speaker and language, and what it says of those three is kept. Called by both readers of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.catalogue import DEFAULT_TASK
from lib.jobqueue.normalise import normalize_job_spec
from lib.jobqueue.problems import InvalidJobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lib.jobqueue import JobSpec
    from lib.jobqueue.problems import FieldProblem

_LOOKED_AT: Final = ("voice", "speaker", "language")


def voice_problems(
    values: Mapping[str, Any],
    known: Iterable[FieldProblem],
    inspect: Callable[[JobSpec], Sequence[FieldProblem]] | None,
    where: str,
) -> Iterator[FieldProblem]:
    """What `inspect` finds in the voice of a row with these problems; nothing about a field that has one already.

    `where` becomes the name of the job that is shown to it, and so must not be that of another row.
    """
    wrong = {problem.field for problem in known}
    if inspect is None or "task" in wrong or values.get("task", DEFAULT_TASK) != DEFAULT_TASK:
        return
    spoken = {name: values[name] for name in _LOOKED_AT if name in values and name not in wrong}
    try:
        spec = normalize_job_spec({"request_id": where, "text": "One.", **spoken})
    except InvalidJobError:
        return  # no voice, or not one alone: said already
    yield from (found for found in inspect(spec) if found.field in spoken)
