"""The terminal record of a job: what is kept when it is over.

The queue's scripts write the head of a record (schema version, generation, fence, attempt, identity, history, status)
because only they know it, and put behind it a *tail* that is built here: the inside of a JSON object from the first
field to the closing brace. So no script ever decodes a user's JSON. Pure; called by the watcher before it ends
a job and by whoever reads a record.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from lib.clock import iso
from lib.errors import InvalidInputError, PermanentError
from lib.jobqueue.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

ErrorType = Literal["permanent", "transient_exhausted", "poison", "timeout", "payload_lost"]
Stage = Literal["validate", "route", "provision", "execute", "upload", "commit"]
OutputKind = Literal["best", "take", "meta"]

SCHEMA_VERSION: Final = 1
DEFAULT_BACKLOG: Final = "default"
"""Where a job goes that names no backlog; a record that names none came from there."""

# A traceback's worth. A record lives in Redis memory for as long as its id does.
MAX_ERROR_CHARACTERS: Final = 8_192

# Made once: `json.dumps` makes an encoder for every call that is not as plain as can be.
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# ASCII only: a record passes through programs and terminals that guess encodings.
_quoted: Final = json.encoder.encode_basestring_ascii


class StoredOutputLike(Protocol):
    """A stored file, as `lib.stores` returns it."""

    @property
    def name(self) -> str:
        """Its name under the job's `output_name`."""

    @property
    def kind(self) -> OutputKind:
        """What it is to a listener."""

    @property
    def uri(self) -> str:
        """Where its bytes stand for good."""

    @property
    def bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """64 hex digits."""


@dataclass(frozen=True, slots=True)
class RecordedOutput:
    """A stored file, as a record names it."""

    name: str
    kind: OutputKind
    uri: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Run:
    """One try of a job: where, by which life of which watcher, and when."""

    backend: str
    run_id: str
    started_at: datetime
    completed_at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result. `run_id` is empty when no watcher was running the job."""

    error_type: ErrorType
    stage: Stage
    error: str
    failed_at: datetime
    run_id: str = ""


def done_tail(
    spec: JobSpec,
    run: Run,
    *,
    outputs: Sequence[StoredOutputLike] = (),
    result: Mapping[str, Any] | None = None,
    cost: Mapping[str, Any] | None = None,
    published: Callable[[str], str] | None = None,
    backlog: str = DEFAULT_BACKLOG,
) -> bytes:
    """The tail of a done record; `published` says where the output of a name can be opened once it is published.

    `backlog` is where the job came from, and is kept unless it is the default one.

    Raises:
        PermanentError: `result` or `cost` is not JSON; the task that gave it will give it again.
    """
    seconds = round((run.completed_at - run.started_at).total_seconds(), 3)
    # Written field by field: what is known to be plain need not be looked at for what it is.
    parts = [
        (
            f'"request_id":{_quoted(spec.request_id)},"content_hash":{_quoted(spec.content_hash)},'
            f'"task":{_quoted(spec.task)},"backend":{_quoted(run.backend)},"run_id":{_quoted(run.run_id)},'
            f'"queued_at":"{iso(spec.queued_at)}","started_at":"{iso(run.started_at)}",'
            f'"completed_at":"{iso(run.completed_at)}","duration_sec":{seconds!r}'
        )
    ]
    if spec.output_name is not None:
        parts.append(f'"output_name":{_quoted(spec.output_name)}')
    try:
        if outputs:
            parts.append(f'"outputs":{_ENCODE(_outputs_object(outputs, published))}')
        if result is not None:
            parts.append(f'"result":{_ENCODE(dict(result))}')
        if cost is not None:
            parts.append(f'"cost":{_ENCODE(dict(cost))}')
    except (TypeError, ValueError, RecursionError) as exc:
        raise PermanentError(
            f"task {spec.task} gave a result that is not JSON: {exc}",
            hint="a result holds text, finite numbers, booleans, null, lists and mappings",
        ) from exc
    if backlog != DEFAULT_BACKLOG:
        parts.append(f'"backlog":{_quoted(backlog)}')
    parts.append(f'"callback_data":{_ENCODE(spec.callback_data) if spec.callback_data else "{}"}}}')
    return ",".join(parts).encode("ascii")


def failed_tail(
    job: JobSpec | bytes | None,
    failure: Failure,
    *,
    request_id: str | None = None,
    backlog: str = DEFAULT_BACKLOG,
) -> bytes:
    """The tail of a failed or cancelled record; which of the two it is stands in the head.

    `job` is the job, or the bytes that could not be read as one (kept as base64 under `job_bytes`), or None
    when they are lost; in the last two cases `request_id` names the record. `backlog` is where a
    retry puts the job again; it is kept unless it is the default one.

    Raises:
        ValueError: there is neither a job nor a `request_id`.
    """
    if isinstance(job, JobSpec):
        name = job.request_id
    elif request_id is not None:
        name = request_id
    else:
        raise ValueError("a record needs a job or a request_id")
    record: dict[str, Any] = {
        "request_id": name,
        "error_type": failure.error_type,
        "stage": failure.stage,
        "error": _shortened(failure.error),
        "failed_at": iso(failure.failed_at),
        "run_id": failure.run_id,
    }
    if isinstance(job, JobSpec):
        record |= {"content_hash": job.content_hash, "task": job.task}
        record["job"] = json.loads(job.to_json())
        record["callback_data"] = job.callback_data
    else:
        record["job"] = None
        if job is not None:
            record["job_bytes"] = base64.b64encode(job).decode()
        record["callback_data"] = {}
    return _tail(record | _from_backlog(backlog))


def recorded_outputs(record: Mapping[str, Any]) -> tuple[RecordedOutput, ...]:
    """The files that a done record names, in the order best, takes, meta, files.

    Raises:
        InvalidInputError: an entry lacks a part; the record was changed by hand.
    """
    outputs = record.get("outputs") or {}
    try:
        entries = [
            *((outputs["best"], "best") for _ in range("best" in outputs)),
            *((entry, "take") for entry in outputs.get("takes", ())),
            *((outputs["meta"], "meta") for _ in range("meta" in outputs)),
            *((entry, "meta") for entry in outputs.get("files", ())),
        ]
        return tuple(
            RecordedOutput(entry["name"], kind, entry["uri"], entry["bytes"], entry["sha256"])  # type: ignore[arg-type]  # the four literals above
            for entry, kind in entries
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise InvalidInputError(
            f"the outputs of record {record.get('request_id')!r} are not as they were written: {exc}",
            hint="run the job again with --replace",
        ) from exc


def _outputs_object(outputs: Sequence[StoredOutputLike], published: Callable[[str], str] | None) -> dict[str, Any]:
    """`{best?, takes, meta?, files?}`: the first of kind meta is `meta`, further ones are `files`."""
    named: dict[str, Any] = {"takes": []}
    for output in outputs:
        entry = asdict(RecordedOutput(output.name, output.kind, output.uri, output.bytes, output.sha256))
        del entry["kind"]
        if published is not None:
            entry["published"] = published(output.name)
        if output.kind == "take":
            named["takes"].append(entry)
        elif output.kind not in named:
            named[output.kind] = entry
        else:
            named.setdefault("files", []).append(entry)
    return named


def _from_backlog(backlog: str) -> dict[str, str]:
    return {} if backlog == DEFAULT_BACKLOG else {"backlog": backlog}


def _shortened(error: str) -> str:
    clean = error.encode("utf-8", "backslashreplace").decode()
    left = len(clean) - MAX_ERROR_CHARACTERS
    return clean if left <= 0 else f"{clean[:MAX_ERROR_CHARACTERS]}… ({left} more characters)"


def _tail(record: Mapping[str, Any]) -> bytes:
    return _ENCODE(record)[1:].encode("ascii")
