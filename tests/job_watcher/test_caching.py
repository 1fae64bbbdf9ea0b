"""What is made already is not made again: no body runs, nothing is paid, and the record says from where it came."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from job_watcher.backends.metal import Metal
from job_watcher.caching import Caching, caching_of
from job_watcher.execution import Execution
from job_watcher.retrying import RetryPolicy, middle
from job_watcher.work_dirs import WorkDirs, id_hash
from lib.clock import SystemClock
from lib.errors import TemporaryError
from lib.jobqueue import BUILT_IN, Catalogue, normalize_job_spec
from lib.jobqueue.protocol import Ending, Retry
from lib.jobqueue.records import recorded_outputs
from lib.stores.artifacts import LocalArtifacts
from lib.stores.cache_disk import DiskCache
from lib.tasks.base import Output, TaskResult
from lib.voice_synth.made_by import made_by_there, makers_of
from lib.voice_synth.voices import VoiceRegistry
from tests.support.running import lease_of, registry, settings_in, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import JobSpec
    from lib.jobqueue.artifact_key import ArtifactKey
    from lib.jobqueue.protocol import Lease
    from lib.stores.cache import Entry

VOICES = VoiceRegistry()


@dataclass
class Speaker:
    """A backend whose bodies take no time: it counts them, and says of each what its engine says."""

    name: str = "metal"
    engine: str = "hibari"
    version: str = "hibari-tts-0.2.1"
    spoken: list[str] = field(default_factory=list)
    usd: float | None = None

    async def run(
        self,
        job: JobSpec,
        lease: Lease,  # noqa: ARG002 - as the execution calls it
        work_dir: WorkDir,
        *_: object,
    ) -> TaskResult:
        """Speak: the text itself, and what is to be known about it."""
        assert job.text is not None
        self.spoken.append(job.request_id)
        place = work_dir.make()
        files = {"take_01.wav": job.text, "takes.meta.json": "{}", "result.json": f"made as {job.request_id}"}
        for name, content in files.items():
            (place / name).write_text(content)
        model = {**self._made_by(job), "version": self.version}
        result = {"model": {name: model[name] for name in model if name != "seed"}, "takes": [{"seed": 0}]}
        outputs = [Output(name, place / name, "take" if name.endswith("wav") else "meta") for name in files]
        return TaskResult(result, tuple(outputs), cost=None if self.usd is None else {"usd": self.usd})

    def _made_by(self, job: JobSpec) -> dict[str, Any]:
        if self.name == "cloud":
            return makers_of(VOICES, self.version)["cloud"](job)
        return made_by_there(job, self.engine, VOICES)


@dataclass
class Place:
    """A watcher's execution beside its cache, and another watcher's beside the same store."""

    execution: Execution
    root: Path

    @property
    def caching(self) -> Caching:
        """The cache of it."""
        assert self.execution.caching is not None
        return self.execution.caching

    def on(self, backend: Any, **changes: Any) -> Place:
        """Another watcher on the same store, with a memory of its own."""
        caching = replace(self.caching, _versions={}, **changes) if changes else _anew(self.caching)
        return Place(replace(self.execution, backend=backend, caching=caching), self.root)

    async def run(self, job: JobSpec, **lease: Any) -> Ending | Retry:
        """Run it with nobody watching."""
        return await self.execution.run(lease_of(job, **lease), lambda _: None)

    async def record(self, job: JobSpec, **lease: Any) -> dict[str, Any]:
        """Run it; its record."""
        outcome = await self.run(job, **lease)
        assert isinstance(outcome, Ending)
        record: dict[str, Any] = json.loads(b"{" + outcome.tail)
        return record

    def files(self, record: dict[str, Any]) -> dict[str, str]:
        """What its outputs hold, each where the record says, and proven to be below the root."""
        paths = {each.name: Path(unquote(urlsplit(each.uri).path)) for each in recorded_outputs(record)}
        assert all(path.is_relative_to(self.root) for path in paths.values())
        return {name: path.read_text() for name, path in paths.items()}


@pytest.fixture
def speaker() -> Speaker:
    """The counting backend."""
    return Speaker()


@pytest.fixture
async def place(tmp_path: Path, speaker: Speaker) -> AsyncIterator[Place]:
    """A watcher with a cache; its settings name a speech model of the cloud."""
    settings = settings_in(tmp_path, GEMINI_SPEECH_MODEL="speech-1")
    work_dirs = WorkDirs(settings.watcher_work_dir, "w1:run-1")
    root = settings.watcher_output_root
    execution = Execution(
        backend=speaker,  # type: ignore[arg-type]  # what an execution asks of a backend
        store=LocalArtifacts(root),
        work_dirs=work_dirs,
        policy=RetryPolicy(settings.watcher_max_crashes, chance=middle),
        clock=SystemClock(),
        run_id="run-1",
        caching=caching_of(settings, DiskCache(root), BUILT_IN, VOICES, SystemClock()),
    )
    yield Place(execution, root)
    await work_dirs.aclose()


def _anew(caching: Caching) -> Caching:
    return Caching(caching.cache, caching.kinds, caching.makers, caching.voices, caching.clock)


def news(number: int, tag: str = "a", **fields: Any) -> JobSpec:
    """A line of the news under a name of its own."""
    voice = {} if "speaker" in fields else {"voice": "newsroom"}
    text = f"Line {number} of the news."
    return normalize_job_spec(
        {"request_id": f"{tag}-{number}", "output_name": f"{tag}/{number}", "text": text, **voice, **fields}
    )


async def test_fifty_jobs_under_other_names_are_fifty_done_and_none_spoken(place: Place, speaker: Speaker) -> None:
    """Show 7: each record has files of its own and says whose they were; one changed word is one spoken."""
    for number in range(50):
        await place.run(news(number))
    assert len(speaker.spoken) == 50
    records = [await place.record(news(number, "b")) for number in range(50)]
    assert len(speaker.spoken) == 50
    assert [record["result"]["cached"]["request_id"] for record in records] == [f"a-{n}" for n in range(50)]
    for number, record in enumerate(records):
        assert place.files(record)["take_01.wav"] == f"Line {number} of the news."
        assert all(id_hash(f"b-{number}") in each.uri for each in recorded_outputs(record))
        assert record["outputs"]["takes"][0]["published"] == (place.root / f"b/{number}/take_01.wav").as_uri()
        assert (record["cost"], record["request_id"]) == ({"usd": 0.0}, f"b-{number}")
    changed = [news(n, "c", **({"text": "Line 7 of the evening news."} if n == 7 else {})) for n in range(50)]
    for job in changed:
        await place.run(job)
    assert speaker.spoken[50:] == ["c-7"]


async def test_the_real_engine_agrees_with_what_was_foreseen(tmp_path: Path, place: Place) -> None:
    """A job spoken by a child is found by the key that the watcher computes without loading a model."""
    metal = Metal(registry(), settings_in(tmp_path / "metal"))
    try:
        first = await place.on(metal).record(news(1, variants=2))
        second = await place.on(metal).record(news(1, "b", variants=2))
        other = await place.on(metal).record(news(1, "c"))
    finally:
        await metal.aclose()
    assert "cached" not in first["result"]
    assert second["result"]["cached"]["request_id"] == "a-1"
    assert {each.name: each.sha256 for each in recorded_outputs(second)} == {
        each.name: each.sha256 for each in recorded_outputs(first)
    }
    assert {name: second["result"][name] for name in first["result"]} == first["result"]
    assert "cached" not in other["result"]


async def test_a_taken_job_leaves_its_slot_and_is_measured_by_nobody(place: Place, speaker: Speaker) -> None:
    """The next body may begin; no rate is learned from a job that took no time; nothing is made in a work directory."""
    await place.run(news(1))
    heard: list[str] = []
    timed = replace(place.execution, on_done=lambda job, *_: heard.append(job.request_id))
    await timed.run(lease_of(news(1, "b")), lambda _: heard.append("progress"), lambda: heard.append("room"))
    assert heard == ["room"]
    await timed.run(lease_of(news(2, "b")), lambda _: None)
    assert heard == ["room", "b-2"]
    assert speaker.spoken == ["a-1", "b-2"]


async def test_a_job_may_ask_to_be_made_anew(place: Place, speaker: Speaker) -> None:
    """`cache: false`: spoken although it is there; and what it made is what later ones are given."""
    await place.run(news(1))
    record = await place.record(news(1, "b", cache=False))
    assert "cached" not in record["result"]
    assert speaker.spoken == ["a-1", "b-1"]
    assert (await place.record(news(1, "c")))["result"]["cached"]["request_id"] == "b-1"
    assert [each.made.why for each in await place.caching.cache.newest(9)] == ["asked"]


@pytest.mark.parametrize("says_so", [False, True])
async def test_only_kinds_that_say_so_take_part(place: Place, tmp_path: Path, *, says_so: bool) -> None:
    """Other kinds run, and nothing is noted of them; one of one's own that says so is done by its payload alone."""
    task = registry().require("write_output_inline").kind
    kinds = Catalogue((replace(task, deterministic=says_so),))
    metal = Metal(registry(), settings_in(tmp_path / "metal"))
    here = place.on(metal, kinds=kinds)
    for name, text in (("n-1", "same"), ("n-2", "same"), ("n-3", "other")):
        record = await here.record(spec(task.name, request_id=name, payload={"files": {"best.wav": text}}))
        assert place.files(record) == {"best.wav": text}
        assert ("cached" in (record.get("result") or {})) == (says_so and name == "n-2")
    assert len(await place.caching.cache.newest(9)) == (2 if says_so else 0)
    await metal.aclose()


async def test_a_file_that_is_gone_is_made_again(place: Place, speaker: Speaker) -> None:
    """Also when only one is: the body begins in an empty place, and the next job finds what it made."""
    first = await place.record(news(1))
    Path(unquote(urlsplit(recorded_outputs(first)[-1].uri).path)).unlink()
    again = await place.record(news(1, "b"))
    assert speaker.spoken == ["a-1", "b-1"]
    assert place.files(again)["result.json"] == "made as b-1"
    assert (await place.record(news(1, "c")))["result"]["cached"]["request_id"] == "b-1"


async def test_changed_bytes_come_under_no_record(place: Place, speaker: Speaker) -> None:
    """Of the same size: read, seen and made again."""
    first = await place.record(news(1))
    stored = Path(unquote(urlsplit(recorded_outputs(first)[0].uri).path))
    stored.unlink()
    stored.write_text("Line 2 of the news.")
    assert place.files(await place.record(news(1, "b")))["take_01.wav"] == "Line 1 of the news."
    assert speaker.spoken == ["a-1", "b-1"]


async def test_what_was_taken_outlives_what_it_was_taken_from(place: Place) -> None:
    """The job that made it and its files are removed by a person: the other record keeps its own."""
    await place.run(news(1))
    record = await place.record(news(1, "b"))
    shutil.rmtree(place.root / ".store" / id_hash("a-1"))
    assert place.files(record)["take_01.wav"] == "Line 1 of the news."


async def test_a_job_whose_commit_was_lost_is_not_paid_for_twice(place: Place) -> None:
    """Stored, and then its watcher died: the next attempt takes what the first one made, and pays nothing."""
    cloud = Speaker("cloud", "gemini", "speech-1", usd=0.25)
    first = await place.on(cloud).record(news(1, speaker="Ryan"))
    again = await place.on(cloud).record(news(1, speaker="Ryan"), fence="1002", attempts_used=1)
    assert (first["cost"], again["cost"], cloud.spoken) == ({"usd": 0.25}, {"usd": 0.0}, ["a-1"])
    assert again["result"]["cached"]["request_id"] == "a-1"


async def test_each_backend_is_given_what_would_be_made_there(place: Place, speaker: Speaker) -> None:
    """A speaker's stand-in of this machine is not the voice of the cloud, nor of another model there."""
    cloud, newer = Speaker("cloud", "gemini", "speech-1"), Speaker("cloud", "gemini", "speech-2")
    await place.run(news(1, speaker="Ryan"))
    assert "cached" not in (await place.on(cloud).record(news(1, "b", speaker="Ryan")))["result"]
    assert (await place.on(cloud).record(news(1, "c", speaker="Ryan")))["result"]["cached"]["request_id"] == "b-1"
    assert (await place.record(news(1, "d", speaker="Ryan")))["result"]["cached"]["request_id"] == "a-1"
    await place.on(newer).record(news(2, speaker="Ryan"))
    assert "cached" not in (await place.on(cloud).record(news(2, "b", speaker="Ryan")))["result"]
    assert speaker.spoken == ["a-1"]


async def test_a_rented_machine_repeats_no_other(place: Place, speaker: Speaker) -> None:
    """Which engine it has is not known here: what was made on one of them counts, and nothing of this machine."""
    rented = Speaker("vast", "qwen", "qwen-tts-1")
    await place.run(news(1, speaker="Ryan"))
    first = place.on(rented)
    assert "cached" not in (await first.record(news(1, "b", speaker="Ryan")))["result"]
    assert (await place.on(rented).record(news(1, "c", speaker="Ryan")))["result"]["cached"]["request_id"] == "b-1"
    assert (rented.spoken, speaker.spoken) == (["b-1"], ["a-1"])


async def test_a_newer_model_of_a_rented_machine_makes_anew(place: Place) -> None:
    """Once it was heard of: what the one before has made is not given out for its work."""
    await place.on(Speaker("vast", "qwen", "qwen-tts-1")).run(news(1, speaker="Ryan"))
    newer = Speaker("vast", "qwen", "qwen-tts-2")
    other = place.on(newer)
    await other.run(news(2, speaker="Ryan"))
    assert "cached" not in (await other.record(news(1, "b", speaker="Ryan")))["result"]
    assert newer.spoken == ["a-2", "b-1"]


class Trouble(DiskCache):
    """A cache that fails, or never answers."""

    def __init__(self, root: Path, error: Exception | None) -> None:
        super().__init__(root)
        self.error = error

    async def find(self, key: ArtifactKey) -> Entry | None:  # noqa: ARG002 - as the protocol has it
        """As any of its calls."""
        await self._fail()
        return None

    async def keep(self, *_: object) -> None:
        """As any of its calls."""
        await self._fail()

    async def _fail(self) -> None:
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error or AssertionError


@pytest.mark.parametrize("error", [TemporaryError("the store is away"), OSError(5, "I/O"), ValueError("odd"), None])
async def test_trouble_with_the_cache_is_no_trouble_of_a_job(
    place: Place, speaker: Speaker, error: Exception | None
) -> None:
    """It fails or does not answer: the body runs, and the job ends well."""
    troubled = place.on(speaker, cache=Trouble(place.root, error), look_seconds=0.05)
    assert "cached" not in (await troubled.record(news(1)))["result"]
    assert speaker.spoken == ["a-1"]


async def test_two_watchers_take_the_same_at_once(place: Place, speaker: Speaker) -> None:
    """Each job has files of its own, and all are whole."""
    await place.run(news(1))
    other = place.on(speaker)
    jobs = [news(1, f"t{number}") for number in range(10)]
    records = await asyncio.gather(*(each.record(job) for each, job in zip(_turns(place, other), jobs, strict=False)))
    assert speaker.spoken == ["a-1"]
    assert len({each.uri for record in records for each in recorded_outputs(record)}) == 30
    assert all(place.files(record)["take_01.wav"] == "Line 1 of the news." for record in records)


async def test_what_nothing_here_speaks_fails_as_without_a_cache(place: Place, tmp_path: Path) -> None:
    """The body says why; the cache adds nothing to it."""
    metal = Metal(registry(), settings_in(tmp_path / "metal"))
    record = await place.on(metal).record(news(1, voice="nobody"))
    assert (record["error_type"], record["stage"]) == ("permanent", "execute")
    assert "no voice is named 'nobody'" in record["error"]
    await metal.aclose()


def _turns(*places: Place) -> Iterator[Place]:
    while True:
        yield from places
