"""Gemini's speech over the vendor's client: whole sound, the request as each generation wants it, typed errors."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import wave
from types import SimpleNamespace as Some
from typing import TYPE_CHECKING, Any

import pytest

from lib.capabilities.breaker import Breaker
from lib.capabilities.gemini_speech import GeminiSpeech, _Heard
from lib.capabilities.speech_model import usual_seconds
from lib.capabilities.text_model import CallDeadlines
from lib.clock import SystemClock
from lib.errors import (
    AnswerError,
    BlockedError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TruncatedError,
)
from tests.lib.capabilities.conftest import NEVER, Terse
from tests.support.fake_gemini import FakeGemini, Limits
from tests.support.gemini_answers import tone
from tests.support.gemini_faults import Rule
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

OLD = "gemini-2.5-flash-preview-tts"
NEW = "gemini-3.8-flash-lite-tts"
PATIENT = CallDeadlines(connect=NEVER, first_byte=NEVER, idle=NEVER, total=NEVER)
TEXT = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGemini]:
    """One for all tests here."""
    with FakeGemini(keys=["a-key"], models=[OLD, NEW]) as it:
        yield it


@pytest.fixture
def fake(server: FakeGemini) -> FakeGemini:
    """It, new."""
    server.forget()
    server.limits = Limits()
    return server


@contextlib.asynccontextmanager
async def speech(url: str, model: str = OLD, *, key: str = "a-key", **more: Any) -> AsyncIterator[GeminiSpeech]:
    """A model that nothing is left of afterwards."""
    made = GeminiSpeech(key, model, **{"base_url": url, "clock": SystemClock(), "deadlines": PATIENT, **more})
    try:
        yield made
    finally:
        await made.aclose()


async def test_a_text_becomes_raw_sound_with_what_it_took(fake: FakeGemini) -> None:
    """All pieces joined, the rate of the answer, tokens as the service counts them."""
    async with speech(fake.url) as model:
        spoken = await model.speak(TEXT, "Kore")
    (call,) = fake.calls
    assert spoken.pcm == tone(len(call.prompt) * 0.05)
    assert (spoken.rate, spoken.model, spoken.usd) == (24_000, OLD, 0.0)
    assert spoken.input_tokens + spoken.output_tokens == call.tokens
    assert spoken.seconds > 0


@pytest.mark.parametrize("style", ["", "Whisper it."])
async def test_the_first_generations_are_directed_in_words(fake: FakeGemini, style: str) -> None:
    """What stands before the text says that it is to be read; the voice is the one that was named."""
    async with speech(fake.url, OLD) as model:
        await model.speak(TEXT, "Leda", style)
    body = fake.calls[0].body
    assert fake.calls[0].prompt == f"{style} Read this aloud, word for word:\n\n{TEXT}".strip()
    config = body["generationConfig"]
    assert config["responseModalities"] == ["AUDIO"]
    # The client writes the names of these fields in snake case, which the service reads as well.
    assert config["speechConfig"] == {"voice_config": {"prebuilt_voice_config": {"voice_name": "Leda"}}}
    assert not {"temperature", "topP", "seed"} & set(config)


@pytest.mark.parametrize("style", ["", "Whisper it."])
async def test_later_ones_have_a_field_for_it(fake: FakeGemini, style: str) -> None:
    """They would read a direction aloud, so the text goes alone."""
    async with speech(fake.url, NEW) as model:
        await model.speak(TEXT, "Leda", style)
    (part,) = fake.calls[0].body["contents"][0]["parts"]
    assert part["text"] == TEXT
    assert part.get("speechMetadata") == ({"style": style} if style else None)


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        (Rule("429_minute", seconds=17.5), QuotaError, "minute"),
        (Rule("429_day"), QuotaError, "today's quota"),
        (Rule("503"), OverloadedError, "503"),
        (Rule("400"), PermanentError, "400"),
        (Rule("403"), PausedError, "403"),
        (Rule("SAFETY"), BlockedError, "SAFETY"),
        (Rule("blocked"), BlockedError, "PROHIBITED_CONTENT"),
        (Rule("MAX_TOKENS"), TruncatedError, "cut off"),
        (Rule("OTHER"), AnswerError, "OTHER"),
        (Rule("no_candidates"), AnswerError, "no answer"),
        (Rule("no_text"), AnswerError, "no sound"),
        (Rule("no_audio"), AnswerError, "no sound"),
        (Rule("cut"), OverloadedError, "broke off"),
        (Rule("error_in_stream"), OverloadedError, "503"),
    ],
    ids=lambda value: value.fault if isinstance(value, Rule) else "",
)
async def test_a_fault_is_its_error(fake: FakeGemini, rule: Rule, kind: type[TaskError], words: str) -> None:
    """Each by its type, once asked and not again by itself."""
    fake.script(rule)
    async with speech(fake.url) as model:
        with pytest.raises(kind, match=words) as caught:
            await model.speak(TEXT, "Kore")
        assert type(caught.value) is kind
    assert len(fake.calls) == 1
    if isinstance(caught.value, PausedError):
        assert caught.value.capability == "speaker", "the text model may be well"
    if rule.fault == "429_minute":
        assert isinstance(caught.value, QuotaError)
        assert (caught.value.delay_seconds, caught.value.window) == (17.5, "minute")


async def test_a_key_that_is_none_is_named_nowhere(fake: FakeGemini) -> None:
    """The capability pauses; the message holds no secret."""
    async with speech(fake.url, key="no-such-key") as model:
        with pytest.raises(PausedError) as caught:
            await model.speak(TEXT, "Kore")
    assert "no-such-key" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.capability == "speaker"


@pytest.mark.parametrize(
    ("fault", "deadlines", "words"),
    [
        ("hang", CallDeadlines(NEVER, 0.05, NEVER, NEVER), "did not begin"),
        ("stall", CallDeadlines(NEVER, NEVER, 0.05, NEVER), "stopped in the middle"),
        ("stall", CallDeadlines(NEVER, NEVER, NEVER, 0.3), "was not done"),
    ],
)
async def test_every_deadline_ends_the_call(fake: FakeGemini, fault: str, deadlines: CallDeadlines, words: str) -> None:
    """Until the first byte, between two pieces, and for all of it."""
    fake.script(Rule(fault))
    async with speech(fake.url, deadlines=deadlines) as model:
        with pytest.raises(OverloadedError, match=words):
            await model.speak(TEXT, "Kore")


async def test_a_host_that_lets_nobody_in_is_a_pause_of_speech(unreachable: str) -> None:
    """The deadline of the connection."""
    async with speech(unreachable, deadlines=CallDeadlines(0.05, NEVER, NEVER, NEVER)) as model:
        with pytest.raises(PausedError, match="cannot be reached") as caught:
            await model.speak(TEXT, "Kore")
        assert caught.value.capability == "speaker"
        assert await model.available()


async def test_a_cancelled_call_leaves_no_connection(fake: FakeGemini) -> None:
    """The next one finds a client that works."""
    fake.script(Rule("hang"))
    async with speech(fake.url) as model:
        calling = asyncio.create_task(model.speak(TEXT, "Kore"))
        await wait_until(lambda: len(fake.calls) == 1, what="the call is out")
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert (await model.speak(TEXT, "Kore")).pcm


SOUND = base64.b64encode(bytes(2_000_000))
EVENT = (
    b'data: {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "'
    + SOUND
    + b'"}}]}}]}\r\n\r\n'
)
BEGINNING = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"


async def test_speech_that_is_broken_off_leaves_no_connection(terse: Terse) -> None:
    """More sound than any text has: the service is not kept busy for nobody."""
    terse.replies = {b"streamGenerateContent": BEGINNING % (len(EVENT), EVENT)}
    async with speech(terse.url) as model:
        with pytest.raises(AnswerError, match="did not end with its text"):
            await model.speak("Hi.", "Kore")
        await wait_until(lambda: terse.open == 0)


async def test_after_failures_in_a_row_nobody_asks_for_a_while(fake: FakeGemini) -> None:
    """And `available` says so without asking."""
    fake.script(Rule("503", times=None))
    breaker = Breaker(HandClock(), failures=2)
    async with speech(fake.url, breaker=breaker) as model:
        for _ in range(2):
            with pytest.raises(OverloadedError):
                await model.speak(TEXT, "Kore")
        with pytest.raises(PausedError, match="left alone") as caught:
            await model.speak(TEXT, "Kore")
        assert caught.value.capability == "speaker"
        assert "left alone" in str(await model.available())
    assert len(fake.calls) == 2


async def test_sound_that_is_refused_does_not_open_the_breaker(fake: FakeGemini) -> None:
    """A model that answers is up, whatever it thinks of the text."""
    fake.script(Rule("SAFETY", times=3))
    async with speech(fake.url, breaker=Breaker(HandClock(), failures=2)) as model:
        for _ in range(3):
            with pytest.raises(BlockedError):
                await model.speak(TEXT, "Kore")
        assert model.breaker.state == "closed"


async def test_it_says_whether_the_model_is_there(fake: FakeGemini) -> None:
    """By its description, which costs nothing."""
    async with speech(fake.url) as model:
        assert await model.available() is None
    async with speech(fake.url, "gemini-9-tts") as model:
        assert "gemini-9-tts" in str(await model.available())
    assert fake.calls == []


async def test_what_is_reserved_is_no_less_than_what_it_takes(fake: FakeGemini) -> None:
    """Of the prompt the most that it can be, of the sound that of a slow reader."""
    async with speech(fake.url) as model:
        spoken = await model.speak(TEXT, "Kore", "Speak slowly.")
        assert max(spoken.input_tokens, len(TEXT) + 13) <= model.tokens_in(TEXT, "Speak slowly.")
        assert 25 * usual_seconds(TEXT) < model.tokens_out(TEXT)
        assert model.tokens_out("\u4f60\u597d\u4e16\u754c" * 10) > 25 * 40 / 4, "ten seconds of Chinese"


async def test_speech_that_does_not_end_is_broken_off(fake: FakeGemini) -> None:
    """A model may go on and on; more than was reserved for the call is neither taken nor waited for."""
    long_directions = "Slowly. " * 100
    async with speech(fake.url) as model:
        # The fake reads its directions aloud.
        with pytest.raises(AnswerError, match="did not end with its text"):
            await model.speak("Hi.", "Kore", long_directions)


class TestSound:
    """What is taken for sound, and what is not."""

    def heard(self, data: bytes, mime: str) -> _Heard:
        """One chunk with these bytes."""
        part = Some(inline_data=Some(data=data, mime_type=mime))
        candidate = Some(finish_reason=Some(value="STOP"), content=Some(parts=[part]))
        made = _Heard()
        made.add(Some(candidates=[candidate], prompt_feedback=None, usage_metadata=None))
        return made

    @pytest.mark.parametrize(
        ("mime", "rate"),
        [("audio/L16;rate=24000", 24_000), ("audio/L16;codec=pcm;rate=16000", 16_000), ("audio/pcm;rate=8000", 8_000)],
    )
    def test_raw_samples_name_their_rate(self, mime: str, rate: int) -> None:
        """In the type of the data."""
        assert self.heard(b"\x01\x00", mime).sound("m") == (b"\x01\x00", rate)

    def test_a_wav_file_is_unpacked(self) -> None:
        """Newer models may wrap what they say."""
        packed = io.BytesIO()
        with wave.open(packed, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(22_050)
            file.writeframes(b"\x01\x00\x02\x00")
        assert self.heard(packed.getvalue(), "audio/wav").sound("m") == (b"\x01\x00\x02\x00", 22_050)
        with pytest.raises(AnswerError, match="broken WAV"):
            self.heard(packed.getvalue()[:20], "audio/x-wav").sound("m")

    def test_stereo_and_other_formats_are_refused(self) -> None:
        """Nothing here could make samples of them."""
        packed = io.BytesIO()
        with wave.open(packed, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes(bytes(8))
        with pytest.raises(PermanentError, match="mono"):
            self.heard(packed.getvalue(), "audio/wav").sound("m")
        with pytest.raises(PermanentError, match="audio/mpeg"):
            self.heard(b"xx", "audio/mpeg").sound("m")
