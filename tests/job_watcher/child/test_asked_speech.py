"""`speak` on the cloud: the body in a child, the call in the watcher, a real WAV in the work directory."""

from __future__ import annotations

import os
import wave
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.child.environment import child_environment
from job_watcher.child.process import Attempt, ChildProcess
from job_watcher.child.questions import ModelAnswers
from lib.capabilities.gemini_speech import GeminiSpeech
from lib.clock import SystemClock
from lib.errors import BlockedError, PermanentError, QuotaError, TemporaryError
from tests.support.fake_gemini import FakeGemini
from tests.support.gemini_answers import tone
from tests.support.gemini_faults import Rule
from tests.support.running import settings_in, spec
from tests.support.scripted_speech import RATE, ScriptedSpeech, hum

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lib.capabilities.speech_model import SpeechModel

MODEL = "gemini-2.5-flash-preview-tts"


@asynccontextmanager
async def child_in(home: Path) -> AsyncIterator[ChildProcess]:
    """A child, ended afterwards."""
    made = await ChildProcess.start(child_environment(settings_in(home), os.environ))
    try:
        yield made
    finally:
        await made.kill()


def attempt(home: Path, speech: SpeechModel, **fields: Any) -> Attempt:
    """A job of a listed speaker."""
    given = {"text": "The quick brown fox jumps.", "speaker": "Sohee", **fields}
    work = home / "work"
    job = spec("speak", payload=None, **{name: value for name, value in given.items() if value is not None})
    return Attempt(job, 1, work, lambda _: None, answers=ModelAnswers(speech=speech))


def samples(path: Path) -> bytes:
    """The sound of a WAV file of the right shape."""
    with wave.open(str(path)) as opened:
        assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (RATE, 1, 2)
        return bytes(opened.readframes(opened.getnframes()))


async def test_a_speaker_is_spoken_by_the_service(tmp_path: Path) -> None:
    """Through the vendor's client and the wire, sample for sample; each fault by its type, the child warm all along."""
    with FakeGemini(keys=["a-key"]) as fake:
        speech = GeminiSpeech("a-key", MODEL, base_url=fake.url, clock=SystemClock())
        async with child_in(tmp_path) as child:
            result = await child.run(attempt(tmp_path, speech, instruct="Whisper."))
            (take,) = [output for output in result.outputs if output.kind == "take"]
            assert samples(take.path) == tone(len(fake.calls[0].prompt) * 0.05)
            fake.script(Rule("429_minute", seconds=17), Rule("SAFETY"), Rule("silent_audio"), Rule("short_audio"))
            for kind, words in (
                (QuotaError, "minute"),
                (BlockedError, "SAFETY"),
                (TemporaryError, "silent"),
                (TemporaryError, "short"),
            ):
                with pytest.raises(kind, match=words) as caught:
                    await child.run(attempt(tmp_path, speech))
                assert type(caught.value) is kind
            assert child.usable
        await speech.aclose()
    assert result.result is not None
    assert result.result["substituted_voice"] == {"asked": "Sohee", "used": "Sulafat", "engine": "gemini"}
    assert (result.result["model"]["engine"], result.result["model"]["version"]) == ("gemini", MODEL)
    assert fake.calls[0].prompt.startswith("Whisper. Read this aloud")


async def test_minutes_of_sound_pass_in_pieces(tmp_path: Path) -> None:
    """Ten frames' worth, bit for bit, with text that is no ASCII."""
    text = "Über sieben Brücken musst du gehn. " * 40
    speech = ScriptedSpeech()
    async with child_in(tmp_path) as child:
        result = await child.run(attempt(tmp_path, speech, text=text, language="German"))
    assert len(hum(text)) > 4_000_000
    assert samples(result.outputs[0].path) == hum(text)
    assert speech.asked == [(text, "Sulafat", "")]


async def test_nobody_else_speaks_there(tmp_path: Path) -> None:
    """Neither a voice of one's own nor a language that the service lacks falls back to an engine of this machine."""
    speech = ScriptedSpeech()
    async with child_in(tmp_path) as child:
        with pytest.raises(PermanentError, match="newsroom has no sound on the engine gemini"):
            await child.run(attempt(tmp_path, speech, voice="newsroom", speaker=None))
        with pytest.raises(PermanentError, match="gemini does not speak 'Klingon'"):
            await child.run(attempt(tmp_path, speech, language="Klingon"))
    assert speech.asked == []


async def test_the_same_child_speaks_by_itself_when_nobody_answers(tmp_path: Path) -> None:
    """What one order names is nothing to the next."""
    speech = ScriptedSpeech()
    async with child_in(tmp_path) as child:
        first = await child.run(attempt(tmp_path, speech))
        job = spec("speak", payload=None, text="The quick brown fox jumps.", speaker="Sohee")
        second = await child.run(Attempt(job, 1, tmp_path / "second", lambda _: None))
    assert first.result is not None
    assert second.result is not None
    assert [each.result["model"]["engine"] for each in (first, second) if each.result] == ["gemini", "hibari"]
    assert len(speech.asked) == 1
