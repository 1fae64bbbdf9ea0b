"""From a row that somebody wrote to a `JobSpec`: the only place for defaults and validation.

Every way into the queue passes here: job files, beatsheets, manifests, the HTTP face and entries that other programs
wrote into the stream. All mistakes of a row are collected, because a person mends a file faster when told once.
It reads no file, no clock but the one given, and no setting: the limits are parameters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from lib.jobqueue.callback_urls import callback_url_problem
from lib.jobqueue.catalogue import BUILT_IN, DEFAULT_TASK
from lib.jobqueue.json_values import json_problems, text_problem
from lib.jobqueue.problems import FieldProblem, InvalidJobError, from_validation, nearest, shown
from lib.jobqueue.spec import SPEECH_FIELDS, JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lib.jobqueue.catalogue import Catalogue, TaskKind

DEFAULT_MAX_ATTEMPTS: Final = 3
DEFAULT_MAX_JOB_BYTES: Final = 262_144

FIELD_NAMES: Final = tuple(JobSpec.model_fields)
_KNOWN: Final = frozenset(FIELD_NAMES)
_SPEECH: Final = frozenset(SPEECH_FIELDS)
# Two fields of which one alone may stand, and what to do when both do.
_EXCLUDING: Final = (
    ("tone", "speaker", "goes with voice only; with a speaker use instruct"),
    ("instruct", "voice", "goes with speaker only; with a voice use tone"),
    ("instruct_style", "instruct", "excludes instruct; remove one of the two"),
)


# These have rules of their own, in the whole way alone.
_USUAL: Final = _KNOWN - {"task", "payload", "callback_data", "callback_url", "content_hash"}

# Nobody reads more about one row, and looking for near names takes time.
_MOST_OF_A_KIND: Final = 20
# Of these one or the other must stand.
_REQUIRED: Final = frozenset({"text", "request_id", "output_name", "voice", "speaker"})


def normalize_job_spec(
    row: Mapping[str, Any],
    *,
    catalogue: Catalogue = BUILT_IN,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    now: datetime | None = None,
    max_job_bytes: int = DEFAULT_MAX_JOB_BYTES,
    callback_hosts: frozenset[str] = frozenset(),
) -> JobSpec:
    """The validated job of `row`, with every default filled in.

    A field that is None counts as not given. `max_attempts` and `now` are the defaults of `max_attempts` and
    `queued_at`; `callback_hosts` are the hosts a callback may go to, none while callbacks are not set up.

    Raises:
        InvalidJobError: with every mistake of the row.
    """
    spec = _usual(row, catalogue, max_attempts, now, max_job_bytes)
    if spec is not None:
        return spec
    values = {name: value for name, value in row.items() if value is not None and name in _KNOWN}
    problems = _unknown_fields(row)
    claimed_hash = values.pop("content_hash", None)
    problems += _unsound(values)
    kind = _kind(values, catalogue, problems)
    if kind is not None:
        values["task"] = kind.name
        values.setdefault("timeout_seconds", kind.timeout_seconds)
        if kind.payload is None:
            problems += _speech_rules(values)
        else:
            unsound = row.get("payload") is not None and "payload" not in values
            problems += _payload_rules(values, kind, unsound=unsound)
    if "request_id" not in values:
        _derive_request_id(values, problems)
    values.setdefault("max_attempts", max_attempts)
    values.setdefault("queued_at", now or datetime.now(UTC))
    if "callback_url" in values:
        problems += _callback_rules(values["callback_url"], callback_hosts)
    spec = _validated(values, problems)
    if problems or spec is None:
        raise InvalidJobError(_without_misspelt(problems))
    last = [*_hash_claim(spec, claimed_hash), *_too_large(spec, max_job_bytes)]
    if last:
        raise InvalidJobError(last)
    return spec


def _usual(
    row: Mapping[str, Any], catalogue: Catalogue, max_attempts: int, now: datetime | None, max_job_bytes: int
) -> JobSpec | None:
    """The job of a sound speech row that holds nothing out of the ordinary, as almost every row of a large file does.

    None says nothing about the row; the whole way finds out. What passes here is what it would make of it.
    """
    kind = catalogue.get(DEFAULT_TASK)
    if kind is None or kind.payload is not None or not _is_usual(tuple(row)) or None in row.values():
        return None
    values = {"timeout_seconds": kind.timeout_seconds, "max_attempts": max_attempts, **row}
    if "request_id" not in row:
        derived, _ = names_of(row)
        values["request_id"] = derived
    if "queued_at" not in row:
        values["queued_at"] = now or datetime.now(UTC)
    try:
        spec: JobSpec = JobSpec.__pydantic_validator__.validate_python(values, strict=True)
    except ValidationError:
        return None
    return spec if _surely_small(spec, max_job_bytes) else None


@lru_cache(maxsize=256)
def _is_usual(names: tuple[object, ...]) -> bool:
    """Whether a speech row of these fields needs no look at one field for the sake of another."""
    given = dict.fromkeys(names, "")
    return given.keys() <= _USUAL and not any(_speech_rules({"task": DEFAULT_TASK, **given}))  # type: ignore[dict-item]  # all are text, as the line before says


def names_of(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The request_id, given or derived, and the output_name that `row` would have; None where not text."""
    output_name = row.get("output_name")
    request_id = row.get("request_id")
    if not isinstance(output_name, str):
        output_name = None
    if request_id is None and output_name is not None:
        request_id = output_name.replace("/", ":")
    return (request_id if isinstance(request_id, str) else None), output_name


def _unknown_fields(row: Mapping[str, Any]) -> list[FieldProblem]:
    strange = [name for name in row if name not in _KNOWN]
    problems = [_unknown(name) for name in strange[:_MOST_OF_A_KIND]]
    if len(strange) > _MOST_OF_A_KIND:
        problems.append(FieldProblem("", f"has {len(strange) - _MOST_OF_A_KIND} more unknown fields; is it a job?"))
    return problems


def _unknown(name: object) -> FieldProblem:
    place = name if isinstance(name, str) and name.isascii() and name.isprintable() else shown(name)
    return FieldProblem(str(place)[:80], f"is no known field{nearest(name, FIELD_NAMES) or '; remove it'}")


def _without_misspelt(problems: list[FieldProblem]) -> list[FieldProblem]:
    """Leave out "is missing" for a field that another problem takes a misspelt one for."""
    meant = {p.message.partition("; did you mean '")[2].rstrip("'?") for p in problems if "no known field" in p.message}
    if "output_name" in meant:
        meant.add("request_id")
    if "speaker" in meant:
        meant.add("voice")
    return [p for p in problems if not (p.field in meant and p.message.startswith("is missing"))]


def _unsound(values: dict[str, Any]) -> Iterator[FieldProblem]:
    """What JSON cannot carry; such a value is taken out, so that nothing stumbles over it again."""
    for name, value in tuple(values.items()):
        found: list[FieldProblem] = []
        if isinstance(value, str):
            if value.isascii():
                continue
            said = text_problem(value)
            found = [] if said is None else [FieldProblem(name, said)]
        elif isinstance(value, (dict, list)) and value:
            found = list(islice(json_problems(value, name), _MOST_OF_A_KIND))
        if found:
            yield from found
            # A required one is replaced by what passes, since "missing" would be untrue.
            del values[name]
            if name in _REQUIRED:
                values[name] = "unsound"


def _kind(values: dict[str, Any], catalogue: Catalogue, problems: list[FieldProblem]) -> TaskKind | None:
    name = values.get("task", DEFAULT_TASK)
    kind = catalogue.get(name) if isinstance(name, str) else None
    if kind is None:
        near = nearest(name, catalogue.spellings)
        said = near or f"; known tasks: {', '.join(catalogue.names)}"
        problems.append(FieldProblem("task", f"{shown(name)} is no known task{said}"))
        values["task"] = DEFAULT_TASK
        values.setdefault("timeout_seconds", 1)
    return kind


def _derive_request_id(values: dict[str, Any], problems: list[FieldProblem]) -> None:
    derived, _ = names_of(values)
    if derived is not None and derived.strip():
        values["request_id"] = derived
        return
    if "output_name" not in values:
        problems.append(FieldProblem("request_id", "is missing; write request_id or output_name"))
    # What is wrong with the output_name is said there, once.
    values["request_id"] = "missing"


def _speech_rules(values: dict[str, Any]) -> Iterator[FieldProblem]:
    if "payload" in values:
        yield FieldProblem("payload", f"does not belong to task {values['task']}; write its fields beside task")
    if "text" not in values:
        yield FieldProblem("text", "is missing; write what is to be said")
    if "voice" in values and "speaker" in values:
        said = "stands beside speaker; keep one (voice: null removes one that came from defaults)"
        yield FieldProblem("voice", said, beside="speaker")
    elif "voice" not in values and "speaker" not in values:
        yield FieldProblem("voice", "is missing; write voice (a registered voice) or speaker (a built-in one)")
    for name, other, said in _EXCLUDING:
        if name in values and other in values:
            yield FieldProblem(name, said, beside=other)


def _payload_rules(values: dict[str, Any], kind: TaskKind, *, unsound: bool) -> Iterator[FieldProblem]:
    """Check and normalise the payload in place; speech fields belong to speak alone."""
    assert kind.payload is not None  # noqa: S101  the caller's branch; it narrows the type
    for name in values.keys() & _SPEECH:
        del values[name]
        yield FieldProblem(name, f"belongs to task speak; task {kind.name} takes a payload")
    if unsound:
        return
    given = values.get("payload", {})
    try:
        # What equals its default is left out here too: the payload is part of the content hash.
        model = kind.payload.model_validate(given)
        values["payload"] = model.model_dump(mode="json", exclude_defaults=True)
    except ValidationError as exc:
        values["payload"] = {}
        yield from from_validation(exc, kind.payload.model_fields, "payload")[:_MOST_OF_A_KIND]


def _callback_rules(url: object, hosts: frozenset[str]) -> Iterator[FieldProblem]:
    if not hosts:
        yield FieldProblem(
            "callback_url",
            "is refused while callbacks are off; set CALLBACK_SECRET and CALLBACK_ALLOWED_HOSTS, or remove it",
        )
        return
    if isinstance(url, str):
        problem = callback_url_problem(url, hosts)
        if problem is not None:
            yield FieldProblem("callback_url", problem)


def _validated(values: dict[str, Any], problems: list[FieldProblem]) -> JobSpec | None:
    """The model, or None with its errors added, one a field at most."""
    try:
        return JobSpec.model_validate(values)
    except ValidationError as exc:
        said = {problem.field for problem in problems}
        problems += [p for p in from_validation(exc, FIELD_NAMES) if p.field not in said]
        return None


def _hash_claim(spec: JobSpec, claimed: object) -> Iterator[FieldProblem]:
    if claimed is not None and claimed != spec.content_hash:
        yield FieldProblem(
            "content_hash",
            f"{shown(claimed)} is not the hash of this job; leave it out, it is computed",
        )


def _too_large(spec: JobSpec, limit: int) -> Iterator[FieldProblem]:
    if _surely_small(spec, limit):
        return
    size = len(spec.to_json())
    if size > limit:
        yield FieldProblem("", f"the job is {size} bytes as JSON; JOBS_MAX_JOB_BYTES allows {limit}")


def _surely_small(spec: JobSpec, limit: int) -> bool:
    """A cheap upper bound: almost no job is near the limit, and encoding all would cost as much again."""
    longest = 6 * (len(spec.text or "") + len(spec.instruct or "") + len(spec.tone or ""))
    return longest + 16_384 < limit and not spec.payload and not spec.callback_data and not spec.callback_url
