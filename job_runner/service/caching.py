"""Why a job was taken from an earlier one or made anew, and clearing what is out of date.

`explain` asks the queue for the job and the store for its entries, and changes nothing. Of a job that is over it says
what happened; of one that waits, or failed, what would happen if this machine ran it now. Called by `cache`.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from lib import wiring
from lib.clock import iso
from lib.errors import InvalidInputError, PermanentError, RefusedError, TaskError, UnreachableError
from lib.jobqueue import JobSpec
from lib.jobqueue.artifact_key import artifact_key, content_parts, differing
from lib.redisqueue import reader
from lib.setting_fields.compute import NO_SPEECH
from lib.voice_synth.documents import sentences_of_result
from lib.voice_synth.made_by import made_by_of_result, makers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lib.jobqueue.artifact_key import ArtifactKey, Part
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.reader import Found
    from lib.settings import Settings
    from lib.stores.cache import ArtifactCache, Entry
    from lib.stores.cache import Cleared as Entries
    from lib.voice_synth.clip_folder import Tidied
    from lib.voice_synth.documents import SentencesOfResult

Verdict = Literal["taken", "made", "would_take", "would_make", "no_part", "unknown"]
"""`taken` from an earlier job, or `made`; `would_…` if it ran now; its kind takes `no_part`."""

NEAR_MAX: Final = 1_000
"""So many of the newest entries are compared, where nothing was made of the same content."""

_SPEAK: Final = "speak"
_METAL: Final = "metal"
_SAID: Final = {
    "new": "nothing had its key then",
    "gone": "what had its key was gone, or not what it had been",
    "asked": "it asked to be made anew",
    "unknown": "the cache could not be asked then",
}

_UNSAID: Final = "the cache knows nothing of it, or only of a later job with its key"


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of two keys. A field of the job has no values: no text is kept but by its digest."""

    part: str
    this: Part | None = None
    other: Part | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """What was made before and comes nearest."""

    request_id: str
    made_at: datetime
    differs: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer; `source` is the job whose files it was given, or would be; `says` is the reason in words."""

    found: Found
    verdict: Verdict
    says: str
    key: str | None = None
    source: str | None = None
    nearest: Near | None = None
    sentences: SentencesOfResult | None = None
    """Of a job that was made by the sentence: how many need not be spoken."""

    def document(self) -> dict[str, Any]:
        """The JSON of `cache explain`."""
        near = self.nearest
        return {
            "request_id": self.found.request_id,
            "status": self.found.status,
            "verdict": self.verdict,
            "says": self.says,
            "key": self.key,
            "from": self.source,
            "sentences": None if self.sentences is None else asdict(self.sentences),
            "nearest": None
            if near is None
            else {
                "request_id": near.request_id,
                "made_at": iso(near.made_at),
                "differs": [asdict(each) for each in near.differs],
            },
        }


async def explain(queue: Queue, settings: Settings, request_id: str) -> Explained:
    """Why this job was made or taken; status `not_found` when nothing is known of it.

    Raises:
        UnreachableError, RefusedError: the store cannot be asked.
    """
    (found,) = await reader.results(queue, [request_id])
    with _store_errors():
        return await _explained(queue, settings, found)


async def _explained(queue: Queue, settings: Settings, found: Found) -> Explained:
    cache = wiring.artifact_cache(settings)
    record = found.record or {}
    if found.status == "not_found":
        return Explained(found, "unknown", "nothing is known of it")
    if found.status == "done":
        return await _of_record(found, record, settings, cache)
    raw = record.get("job")
    if found.row is not None:
        (looked,) = await reader.look(queue, [found.request_id])
        raw = looked.job
    try:
        job = JobSpec.from_json(raw) if isinstance(raw, bytes) else JobSpec.model_validate(raw)
    except (InvalidInputError, ValueError):
        return Explained(found, "unknown", "its content cannot be read now")
    return await _of_job(found, job, settings, cache)


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was dropped of the store's entries, and of the sentences of this machine; `folder` is where these lie."""

    entries: Entries
    sentences: Tidied
    folder: Path


async def clear(settings: Settings, before: datetime | None) -> Cleared:
    """Drop entries whose files are gone and sentences beyond their bound; with a time also what is older.

    An entry is as old as what it was made of, a sentence as its last use. No file of any job is touched.

    Raises:
        UnreachableError, RefusedError: the store cannot be asked. The sentences were cleared all the same.
    """
    clips = wiring.clips(settings)
    sentences = await asyncio.to_thread(clips.tidy, None if before is None else before.timestamp())
    with _store_errors():
        return Cleared(await wiring.artifact_cache(settings).clear(before), sentences, clips.directory)


@contextmanager
def _store_errors() -> Iterator[None]:
    """A store that is away is a service that does not answer; the job is not what is wrong."""
    try:
        yield
    except PermanentError as exc:
        raise RefusedError(exc.message, hint=exc.hint) from exc
    except TaskError as exc:
        raise UnreachableError(exc.message, hint=exc.hint) from exc


async def _of_record(found: Found, record: Mapping[str, Any], settings: Settings, cache: ArtifactCache) -> Explained:
    result = record.get("result")
    cached = result.get("cached") if isinstance(result, dict) else None
    if isinstance(cached, dict):
        source, said = str(cached.get("request_id")), str(cached.get("key"))
        return Explained(found, "taken", f"its key is that of {source}, whose files it was given", said, source)
    task = str(record.get("task"))
    if not _takes_part(task, settings):
        return _no_part(found, task)
    made_by = made_by_of_result(result) if task == _SPEAK else {}
    try:
        key = None if made_by is None else artifact_key(str(record.get("content_hash")), made_by)
    except ValueError:
        key = None
    if key is None:
        return Explained(found, "made", "its record does not say what made it")
    started = _moment(record.get("started_at"))
    same = await cache.same_content(key.content_hash)
    own = next((each for each in same if each.made.request_id == found.request_id and each.made.key == key), None)
    says = _UNSAID if own is None else _SAID[own.made.why]
    content = same[0].made.content if same else None
    earlier = [each for each in same if each is not own and (started is None or each.made.made_at <= started)]
    near = await _nearest(cache, key, content, earlier, started, found.request_id)
    sentences = sentences_of_result(result)
    if sentences is not None:
        says = f"{says}; {sentences.at_hand} of {sentences.of} sentences were at hand"
    return Explained(found, "made", says, key.text, nearest=near, sentences=sentences)


async def _of_job(found: Found, job: JobSpec, settings: Settings, cache: ArtifactCache) -> Explained:
    if not _takes_part(job.task, settings):
        return _no_part(found, job.task)
    try:
        key = artifact_key(job.content_hash, await _made_by_here(job, settings))
    except TaskError as exc:
        return Explained(found, "unknown", f"nothing here can say what would make it: {exc.message}")
    entry = await cache.find(key)
    if entry is not None and job.cache:
        source = entry.made.request_id
        says = f"its key is that of {source}, whose files it would be given if they are whole"
        return Explained(found, "would_take", says, key.text, source)
    says = "nothing has its key" if job.cache else "it asks to be made anew"
    same = await cache.same_content(key.content_hash)
    near = await _nearest(cache, key, content_parts(job), same, None, found.request_id) if entry is None else None
    return Explained(found, "would_make", says, key.text, nearest=near)


async def _made_by_here(job: JobSpec, settings: Settings) -> Mapping[str, Part]:
    if job.task != _SPEAK:
        return {}
    speaks = settings.gemini_speech_model != NO_SPEECH
    makers = makers_of(wiring.voices(settings), settings.gemini_speech_model if speaks else "")
    return await asyncio.to_thread(makers.get(job.backend or _METAL, makers[_METAL]), job)


async def _nearest(
    cache: ArtifactCache,
    key: ArtifactKey,
    content: Mapping[str, str] | None,
    same: list[Entry],
    before: datetime | None,
    request_id: str,
) -> Near | None:
    """The one with the fewest other parts, the newest of several; None where there is none to compare with."""
    entries = same
    if not entries and content is not None:
        entries = await cache.newest(NEAR_MAX)
    candidates = [
        each
        for each in entries
        if each.made.request_id != request_id and (before is None or each.made.made_at <= before)
    ]
    if not candidates:
        return None
    best = min(candidates, key=lambda each: (len(_differences(key, content, each)), -each.made.made_at.timestamp()))
    return Near(best.made.request_id, best.made.made_at, _differences(key, content, best))


def _differences(key: ArtifactKey, content: Mapping[str, str] | None, other: Entry) -> tuple[Difference, ...]:
    theirs = other.made.key
    fields = () if content is None else differing(content, other.made.content)
    parts = differing(key.made_by, theirs.made_by)
    return (
        *(Difference(name) for name in fields),
        *(Difference(name, key.made_by.get(name), theirs.made_by.get(name)) for name in parts),
    )


def _takes_part(task: str, settings: Settings) -> bool:
    kind = wiring.catalogue(settings).get(task)
    return kind is not None and kind.deterministic


def _no_part(found: Found, task: str) -> Explained:
    return Explained(found, "no_part", f"jobs of the kind {task} are always made: what they give is for one job alone")


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
