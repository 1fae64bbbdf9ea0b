"""Speech by a listed speaker has lanes of its own: by hand added, adopted, moved, and run where it is offered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from job_watcher.adoption import Adopter
from job_watcher.backends.registry import make_backends
from lib.clock import SystemClock
from lib.jobqueue import BUILT_IN
from lib.jobqueue.protocol import ForeignEntry
from tests.support.fake_gemini import FakeGemini
from tests.support.gemini_faults import Rule
from tests.support.running import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from job_watcher.backends.base import Backend
    from lib.settings import Settings
    from tests.job_watcher.watching import Stand

SPEAKER = {"speaker": "Ryan", "text": "Hello there."}
VOICE = {"voice": "newsroom", "text": "Hello there."}


async def adopted(stand: Stand, request_id: str, **fields: Any) -> str:
    """The intake that an entry of the inlet comes to."""
    key = stand.queue.keys.stream("stream")
    entry = await stand.add(key, {"job": json.dumps({"request_id": request_id, "output_name": request_id, **fields})})
    adopter = Adopter(stand.queue, BUILT_IN, SystemClock(), 3, 262_144, frozenset())
    assert await adopter.adopt([ForeignEntry("stream", entry)]) == 1
    row = await stand.row(request_id)
    assert row is not None
    return row.stream


async def test_an_entry_added_by_hand_comes_to_the_class_that_it_names(stand: Stand) -> None:
    """The inlet is the intake of voices; a speaker's job does not stay there, where the cloud would not find it."""
    assert await adopted(stand, "a", **SPEAKER) == "stream:normal:speaker"
    assert await adopted(stand, "b", **SPEAKER, priority="high", backend="cloud") == "stream:high:speaker:cloud"
    assert await adopted(stand, "c", **VOICE) == "stream"
    assert await stand.length("stream") == 1
    assert await stand.length("stream:normal:speaker") == 1


async def test_both_classes_run_on_metal(stand: Stand) -> None:
    """One watcher, one slot, two lanes."""
    rows = [
        {"request_id": "speaker", "output_name": "s", **SPEAKER},
        {"request_id": "voice", "output_name": "v", **VOICE},
    ]
    assert set(await stand.submit(*rows)) == {"queued"}
    assert await stand.length("stream:normal:speaker") == 1
    await stand.watcher().start()
    records = {record["request_id"]: record for record in await stand.ended("speaker", "voice", seconds=60)}
    assert {record["status"] for record in records.values()} == {"done"}
    assert records["speaker"]["result"]["substituted_voice"]["asked"] == "Ryan"
    assert records["voice"]["result"]["substituted_voice"] is None


async def test_a_speaker_is_spoken_on_the_cloud_and_paid_for(stand: Stand) -> None:
    """From the queue to the record: the call waits for a quota that the service has closed, and uses up no attempt."""

    def cloud(settings: Settings) -> Sequence[Backend]:
        return make_backends(("cloud",), registry(), settings, stand.queue, SystemClock())

    with FakeGemini(keys=["a-long-key-of-ours"]) as fake:
        fake.script(Rule("429_minute", seconds=0.3))
        more: dict[str, Any] = {
            "GEMINI_API_KEY": "a-long-key-of-ours",
            "GEMINI_BASE_URL": fake.url,
            "CLOUD_TOKENS_PER_MIN": "100",
        }
        watcher = stand.watcher(backends=cloud, **more)
        await watcher.start()
        assert await stand.submit({"request_id": "a", "output_name": "a", **SPEAKER}) == ["queued"]
        (record,) = await stand.ended("a", seconds=60)
        await watcher.finish()
    assert (record["status"], record["backend"], record["attempt"]) == ("done", "cloud", 1)
    assert record["result"]["substituted_voice"] == {"asked": "Ryan", "used": "Fenrir", "engine": "gemini"}
    assert record["cost"]["usd"] > 0
    assert record["outputs"]["takes"]
    assert [call.status for call in fake.calls] == [429, 200]
