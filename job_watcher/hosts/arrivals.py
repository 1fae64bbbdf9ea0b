"""What came from a host for one job, compared with what can have come: names, sizes, digests, text, sound, documents.

A host may send anything. Whatever is not exactly the set of files that this job makes, sound and in agreement with each
other, is an `UnsoundError`. The result of the job is read from its documents here, never taken from the host's word.
Blocks; called in a thread.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from job_watcher.hosts.errors import HostAnswerError
from job_watcher.hosts.sound import fault_in
from lib.stores.handover import Claim
from lib.voice_synth import documents
from lib.voice_synth.request import request_of_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lib.jobqueue import JobSpec
    from lib.tasks.base import OutputKind

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BYTES_A_SECOND: Final = 96_000
"""Of 16-bit mono at the highest rate that an engine here has."""

_SECONDS_A_CHARACTER: Final = 1.0
_SECONDS_BESIDE: Final = 60.0
"""Far slower than anybody speaks; a file that is larger is no speech of this text."""

_DOCUMENT_BYTES: Final = 1 << 20
_BYTES_A_TAKE: Final = 4_096


class UnsoundError(HostAnswerError):
    """What came is not what the job makes; the message says what is odd."""

    code = "unsound"


def expected(job: JobSpec) -> dict[str, str]:
    """The files that a speech job makes, each with its kind, in the order of a record."""
    takes = {documents.take_name(number): "take" for number in range(1, job.variants + 1)}
    best = {documents.BEST: "best"} if job.select_best else {}
    return {**takes, **best, documents.META: "meta", documents.TEXT: "text", documents.RESULT: "result"}


def claims_of(job: JobSpec, files: Sequence[Any]) -> tuple[Claim, ...]:
    """The claims of a host about the files of this job, if they can be true.

    Raises:
        UnsoundError: a name is missing, doubled or none of this job's, or a size or digest cannot be.

    """
    wanted = expected(job)
    found: dict[str, Claim] = {}
    for each in files:
        claim = _claim(each, wanted)
        if claim is None or claim.name in found or not 0 < claim.bytes <= _most_bytes(job, claim.name):
            raise UnsoundError(f"a file is claimed that cannot be: {str(each)[:200]}")
        found[claim.name] = claim
    if missing := [name for name in wanted if name not in found]:
        raise UnsoundError(f"{missing[0]} was not made")
    text = (job.text or "").encode()
    told = found[documents.TEXT]
    if (told.bytes, told.sha256) != (len(text), hashlib.sha256(text).hexdigest()):
        raise UnsoundError(f"{documents.TEXT} is another text than the job's")
    return tuple(found[name] for name in wanted)


def check_bytes(claim: Claim, path: Path) -> None:
    """Compare a file that was fetched with its claim.

    Raises:
        UnsoundError: it is another.
        OSError: it cannot be read.

    """
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if (path.stat().st_size, digest) != (claim.bytes, claim.sha256):
        raise UnsoundError(f"{claim.name} is not what was claimed: sha256 {digest[:12]}, not {claim.sha256[:12]}")


def check_sound(job: JobSpec, claim: Claim, path: Path) -> None:
    """Listen to a file of sound; nothing for any other.

    Raises:
        UnsoundError: nobody could listen to it as the job's text.
        OSError: it cannot be read.

    """
    if claim.kind == "meta":
        return
    if (fault := fault_in(path, job.text or "")) is not None:
        raise UnsoundError(f"{claim.name}: {fault}")


def result_in(job: JobSpec, directory: Path, claims: Sequence[Claim]) -> dict[str, Any]:
    """The job's result, from its documents in `directory`, whose bytes are as claimed.

    Raises:
        UnsoundError: they are of another request, or do not agree with the files.
        OSError: they cannot be read.

    """
    by_name = {claim.name: claim for claim in claims}
    try:
        document = json.loads((directory / documents.RESULT).read_bytes())
        meta = json.loads((directory / documents.META).read_bytes())
        if document["request"] != request_of_job(job).as_json():
            raise UnsoundError(f"{documents.RESULT} answers another request")
        _check_files(document["files"], by_name, {documents.RESULT})
        takes = [{**take, "name": take["file"]} for take in meta["takes"]]
        _check_files(takes, by_name, {claim.name for claim in claims if claim.kind != "take"})
        _check_best(document["selection"]["selected_take"], by_name)
        return documents.summary_of(document, meta)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise UnsoundError(f"the documents are not those of a job: {type(exc).__name__}") from exc


def _claim(given: Any, wanted: Mapping[str, str]) -> Claim | None:
    match given:
        case {"name": str() as name, "kind": str() as kind, "bytes": int() as size, "sha256": str() as digest}:
            if wanted.get(name) != kind or isinstance(size, bool) or not _SHA256.fullmatch(digest):
                return None
            own: OutputKind = "best" if kind == "best" else "take" if kind == "take" else "meta"
            return Claim(name, own, size, digest)
    return None


def _most_bytes(job: JobSpec, name: str) -> int:
    if name.endswith(".wav"):
        return round(_BYTES_A_SECOND * (_SECONDS_BESIDE + _SECONDS_A_CHARACTER * len(job.text or "")))
    return _DOCUMENT_BYTES + 6 * len(job.text or "") + _BYTES_A_TAKE * job.variants


def _check_files(told: Sequence[Mapping[str, Any]], claims: Mapping[str, Claim], but: set[str]) -> None:
    """Whether these are the claimed files, each once and no other, but for those named."""
    found = sorted((each["name"], each["bytes"], each["sha256"]) for each in told)
    if found != sorted((claim.name, claim.bytes, claim.sha256) for claim in claims.values() if claim.name not in but):
        raise UnsoundError("its documents name other files than came")


def _check_best(selected: object, claims: Mapping[str, Claim]) -> None:
    take = claims[documents.take_name(selected)] if type(selected) is int else None
    best = claims.get(documents.BEST)
    if take is None or (best is not None and best.sha256 != take.sha256):
        raise UnsoundError(f"{documents.BEST} is not the selected take")
