"""Before a body runs: whether what it would make is there already; after it: a note of what it made.

    alone   of equal jobs at the same moment the second waits for the first, and then finds what that made.
    seek    the key of a job on the backend that has it; the files of an earlier job with this key, proven and under a
            name of this attempt's own, become its result. Nothing was run and nothing paid for by then.
    keep    once outputs are stored, and before their record is committed: so a job whose watcher dies between the two
            is not paid for again by the next.

Only kinds that say `deterministic` take part, and a job may ask to be made anew (`cache: false`); what is made for it
is kept all the same. It never fails a job and never holds one up for long: with any trouble the body runs. The
execution is its only caller; which files there are is `lib.stores.cache`'s business.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loguru import logger

from job_watcher.work_dirs import id_hash
from lib.errors import JobRunnerError, PermanentError
from lib.jobqueue.artifact_key import artifact_key, content_parts
from lib.setting_fields.compute import NO_SPEECH
from lib.stores.cache import Made
from lib.tasks.base import TaskResult
from lib.voice_synth.made_by import made_by_of_result, made_by_there, makers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from lib.clock import Clock
    from lib.jobqueue import Catalogue, JobSpec
    from lib.jobqueue.artifact_key import ArtifactKey, Part
    from lib.jobqueue.protocol import Lease
    from lib.jobqueue.records import StoredOutputLike
    from lib.settings import Settings
    from lib.stores.artifacts import StoredOutput
    from lib.stores.cache import ArtifactCache, Entry, Why
    from lib.voice_synth.made_by import Maker
    from lib.voice_synth.voices import VoiceRegistry

LOOK_SECONDS: Final = 30.0
"""The most that looking, and noting, may take of a job's time."""

SPEAK: Final = "speak"


@dataclass(frozen=True, slots=True)
class Sought:
    """What came of looking. `taken` is the result of a job that need not run; `why` says why one must.

    `why` None: its kind takes no part.
    """

    why: Why | None = None
    taken: TaskResult | None = None


NOT_SOUGHT: Final = Sought()


@dataclass(slots=True)
class Caching:
    """The cache as one watcher uses it; `makers` by backend say what would speak a job there.

    Of a backend without a maker the machines are not known: there a job is given what was made on that backend before,
    with a voice that is still the same, by the version of the model that was last heard of.
    """

    cache: ArtifactCache
    kinds: Catalogue
    makers: Mapping[str, Maker]
    voices: VoiceRegistry
    clock: Clock
    look_seconds: float = LOOK_SECONDS
    _versions: dict[tuple[str, str], Part] = field(default_factory=dict)
    _making: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)

    @asynccontextmanager
    async def alone(self, backend: str, job: JobSpec) -> AsyncIterator[None]:
        """For the length of a block the only one of equal jobs on a backend of this watcher: the next seeks after it.

        The first never waits, and each block ends, so none waits for ever; a cancelled one leaves its place.
        """
        kind = self.kinds.get(job.task)
        if kind is None or not kind.deterministic or not job.cache:
            yield
            return
        name = (backend, job.content_hash)
        while name in self._making:
            await self._making[name].wait()
        over = self._making[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._making[name]
            over.set()

    async def seek(self, backend: str, job: JobSpec, lease: Lease) -> Sought:
        """Take what is there; never an error."""
        kind = self.kinds.get(job.task)
        if kind is None or not kind.deterministic:
            return NOT_SOUGHT
        if not job.cache:
            return Sought("asked")
        try:
            async with asyncio.timeout(self.look_seconds):
                return await self._sought(backend, job, lease)
        except PermanentError:
            # Nothing can speak it here; the body says so, and why.
            return Sought("unknown")
        except (JobRunnerError, OSError, ValueError, TimeoutError) as exc:
            logger.warning("whether it is made already could not be seen: {}", str(exc) or "no answer in time")
            return Sought("unknown")

    async def keep(
        self, sought: Sought, backend: str, job: JobSpec, result: TaskResult, stored: Sequence[StoredOutputLike]
    ) -> None:
        """Note what was made; never an error, and nothing of what was taken from elsewhere."""
        if sought.why is None or sought.taken is not None or not stored:
            return
        made_by = made_by_of_result(result.result) if job.task == SPEAK else {}
        if made_by is None:
            return
        if "engine" in made_by:
            self._versions[backend, str(made_by["engine"])] = made_by["version"]
        made = Made(
            key=artifact_key(job.content_hash, made_by),
            content=content_parts(job),
            request_id=job.request_id,
            backend=backend,
            made_at=self.clock.now(),
            why=sought.why,
            result=result.result or {},
        )
        try:
            async with asyncio.timeout(self.look_seconds):
                await self.cache.keep(made, stored)
        except (JobRunnerError, OSError, ValueError, TimeoutError) as exc:
            logger.warning("equal jobs will not find what it made: {}", str(exc) or "no answer in time")

    async def _sought(self, backend: str, job: JobSpec, lease: Lease) -> Sought:
        entry = await self._entry(backend, job)
        if entry is None:
            return Sought("new")
        # Not the directory of what a body makes: should one file of these be lacking, it begins in an empty one.
        place = f"{id_hash(lease.request_id)}/{lease.generation}-{lease.fence}-taken"
        stored = await self.cache.take(entry, place)
        if stored is None:
            return Sought("gone")
        logger.bind(cached_from=entry.made.request_id).info("made already, for {}", entry.made.request_id)
        return Sought(None, _as_result(entry, stored))

    async def _entry(self, backend: str, job: JobSpec) -> Entry | None:
        key = await self._key(backend, job)
        if key is not None:
            return await self.cache.find(key)
        for entry in await self.cache.same_content(job.content_hash):
            if entry.made.backend == backend and await asyncio.to_thread(self._still_so, entry, job):
                return entry
        return None

    async def _key(self, backend: str, job: JobSpec) -> ArtifactKey | None:
        """None where nobody can say what would make it."""
        if job.task != SPEAK:
            return artifact_key(job.content_hash, {})
        maker = self.makers.get(backend)
        if maker is None:
            return None
        # Voices are files.
        return artifact_key(job.content_hash, await asyncio.to_thread(maker, job))

    def _still_so(self, entry: Entry, job: JobSpec) -> bool:
        made_by = entry.made.key.made_by
        engine = str(made_by.get("engine"))
        version = self._versions.get((entry.made.backend, engine), made_by.get("version"))
        try:
            now = {**made_by_there(job, engine, self.voices), "version": version}
        except PermanentError:
            return False
        return now == dict(made_by)


def caching_of(
    settings: Settings, cache: ArtifactCache, kinds: Catalogue, voices: VoiceRegistry, clock: Clock
) -> Caching:
    """The cache of a watcher with these settings; imports no engine."""
    speaks = settings.gemini_speech_model != NO_SPEECH
    makers = makers_of(voices, settings.gemini_speech_model if speaks else "")
    return Caching(cache, kinds, makers, voices, clock)


def _as_result(entry: Entry, stored: Sequence[StoredOutput]) -> TaskResult:
    made = entry.made
    cached = {"request_id": made.request_id, "key": made.key.text}
    return TaskResult({**made.result, "cached": cached}, cost={"usd": 0.0}, stored=tuple(stored))
