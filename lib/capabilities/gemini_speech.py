"""Gemini's speech models: a text becomes raw sound, whole and typed, or an error.

It asks by streams, so that each deadline can be kept, and never tries again by itself. It counts no quota and no money;
who gives it to a task wraps it in something that does. Which voice speaks for whom is decided in `lib.voice_synth`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import wave
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.breaker import Breaker
from lib.capabilities.deadlines import in_time
from lib.capabilities.gemini_client import LazyGeminiClient
from lib.capabilities.gemini_errors import ending
from lib.capabilities.speech_model import Spoken, usual_seconds
from lib.capabilities.text_model import USUAL_DEADLINES, TextRequest
from lib.capabilities.token_estimate import most_tokens
from lib.errors import AnswerError, OverloadedError, PausedError, PermanentError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from lib.capabilities.text_model import CallDeadlines
    from lib.clock import Clock

_SERVICE: Final = "Gemini"
_CAPABILITY: Final = "speaker"
# The first generations read everything that they are sent, and take what comes first for a direction if it looks like
# one. The later ones have a field for it, speak the text word for word, and refuse temperature and its like.
_DIRECTED_IN_WORDS: Final = ("gemini-2.", "gemini-3.1-")
# Without it a short text is taken for something to be answered.
_READ_ALOUD: Final = "Read this aloud, word for word:"

_RAW: Final = re.compile(r"audio/(?:l16|pcm)\b.*?\brate=(\d+)", re.IGNORECASE)
_WAV: Final = re.compile(r"audio/(?:x-|vnd\.)?wave?\b", re.IGNORECASE)
_SAMPLE_BYTES: Final = 2

_TOKENS_A_SECOND: Final = 25
_BYTES_A_TOKEN: Final = 24_000 * _SAMPLE_BYTES // _TOKENS_A_SECOND
# Slower than anybody reads, and a pause.
_SLOWEST: Final = 1.6
_SECONDS_MORE: Final = 8.0


class GeminiSpeech:
    """One speech model of the Gemini API with one key."""

    def __init__(
        self,
        api_key: str,
        model: str,
        *,
        base_url: str = "",
        clock: Clock,
        deadlines: CallDeadlines = USUAL_DEADLINES,
        breaker: Breaker | None = None,
    ) -> None:
        self._model = model
        self._clock = clock
        self._deadlines = deadlines
        self._breaker = breaker or Breaker(clock)
        self._client = LazyGeminiClient(api_key, base_url, deadlines.connect)

    @property
    def model(self) -> str:
        """Its name."""
        return self._model

    @property
    def breaker(self) -> Breaker:
        """That of this key and model."""
        return self._breaker

    async def speak(self, text: str, voice_name: str, style: str = "") -> Spoken:
        """See `SpeechModel`."""
        began = self._clock.elapsed()
        heard = _Heard()
        chunks = self._chunks(text, voice_name, style)
        most_bytes = self.tokens_out(text) * _BYTES_A_TOKEN
        async with contextlib.aclosing(in_time(chunks, self._deadlines, _SERVICE)) as timed:
            with self._breaker.call(_SERVICE, _CAPABILITY):
                async for chunk in timed:
                    heard.add(chunk)
                    if len(heard.data) > most_bytes:
                        # What was reserved for this call is used up, and no text takes so long.
                        raise AnswerError(f"the speech of {self._model} did not end with its text")
                sent = self.tokens_in(text, style) if heard.input_tokens is None else heard.input_tokens
                with heard.counting(sent):
                    heard.check(self._model)
        with heard.counting(sent):
            pcm, rate = heard.sound(self._model)
        received = self.tokens_out(text) if heard.output_tokens is None else heard.output_tokens
        return Spoken(pcm, rate, self._model, sent, received, self._clock.elapsed() - began)

    def tokens_in(self, text: str, style: str = "") -> int:
        """See `SpeechModel`: the most, since quota and money are reserved by it."""
        return most_tokens(TextRequest(text, system=f"{style} {_READ_ALOUD}"))

    def tokens_out(self, text: str) -> int:
        """See `SpeechModel`: of a slow reader; a call that goes beyond it is broken off."""
        return round((usual_seconds(text) * _SLOWEST + _SECONDS_MORE) * _TOKENS_A_SECOND)

    async def prepare(self) -> None:
        """See `ServedSpeech`."""
        await self._client.get()

    async def available(self) -> str | None:
        """See `ServedSpeech`."""
        refusal = self._breaker.refusal()
        if refusal is not None:
            return refusal
        client = await self._client.get()
        try:
            async with asyncio.timeout(self._deadlines.connect):
                await client.models.get(model=self._model)
        except TimeoutError:
            return f"{_SERVICE} does not answer within {self._deadlines.connect:g} s"
        except client.errors as exc:
            error = client.error_of(exc, model=self._model, now=self._clock.now(), capability=_CAPABILITY)
            # A 429 says that it is there; who may ask is another's business.
            return error.message if isinstance(error, PausedError | OverloadedError) else None
        return None

    async def aclose(self) -> None:
        """Close its connections. Repeatable."""
        await self._client.aclose()

    async def _chunks(self, text: str, voice_name: str, style: str) -> AsyncGenerator[Any, None]:
        client = await self._client.get()
        contents, config = self._request(client.types, text, voice_name, style)
        try:
            async with contextlib.aclosing(client.stream(self._model, contents, config)) as stream:
                async for chunk in stream:
                    yield chunk
        except client.errors as exc:
            raise client.error_of(exc, model=self._model, now=self._clock.now(), capability=_CAPABILITY) from exc

    def _request(self, types: Any, text: str, voice_name: str, style: str) -> tuple[Any, Any]:
        voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=voice_name))
        config = types.GenerateContentConfig(
            response_modalities=["AUDIO"],
            speech_config=types.SpeechConfig(voice_config=voice),
            # A second request behind the first, of which no quota would know.
            automatic_continuation=False,
        )
        if self._model.startswith(_DIRECTED_IN_WORDS):
            part = types.Part(text=f"{style} {_READ_ALOUD}\n\n{text}".lstrip())
        else:
            directed = types.SpeechMetadata(style=style) if style else None
            part = types.Part(text=text, speech_metadata=directed)
        return [types.Content(role="user", parts=[part])], config


@dataclass(slots=True)
class _Heard:
    """What has come of one answer."""

    data: bytearray = field(default_factory=bytearray)
    mime: str = ""
    reason: str = ""
    block_reason: str = ""
    candidates: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None

    def add(self, chunk: Any) -> None:
        """One chunk more."""
        self.candidates = self.candidates or bool(chunk.candidates)
        self.reason = _reason_of(chunk) or self.reason
        self.block_reason = _block_reason_of(chunk) or self.block_reason
        content = chunk.candidates[0].content if chunk.candidates else None
        for part in (content.parts if content else None) or ():
            if part.inline_data and part.inline_data.data:
                self.data += part.inline_data.data
                self.mime = part.inline_data.mime_type or self.mime
        if chunk.usage_metadata is not None:
            counted = chunk.usage_metadata
            self.input_tokens = counted.prompt_token_count
            self.output_tokens = (counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0)

    def check(self, model: str) -> None:
        """Raise what the end of the answer is, unless it is a complete one with sound in it."""
        if self.candidates and not self.reason and not self.block_reason:
            raise OverloadedError(f"{_SERVICE} ended its answer without saying that it was done")
        error = ending(self.reason, model, self.block_reason)
        if isinstance(error, TruncatedError):
            raise TruncatedError(
                f"the speech of {model} was cut off at its limit of tokens",
                hint="shorten the text, or set chunk: true",
            )
        if error is not None:
            raise error
        if not self.data:
            raise AnswerError(f"{model} gave no sound")

    @contextlib.contextmanager
    def counting(self, sent: int) -> Iterator[None]:
        """Whatever is wrong with the whole answer says what was counted for it."""
        try:
            yield
        except (AnswerError, PermanentError) as exc:
            if self.output_tokens is not None:
                exc.counted = (sent, self.output_tokens)
            raise

    def sound(self, model: str) -> tuple[bytes, int]:
        """The samples and their rate, of 16-bit mono sound alone."""
        raw = _RAW.match(self.mime)
        if raw is not None:
            return bytes(self.data), int(raw[1])
        if _WAV.match(self.mime) is None:
            raise PermanentError(f"{model} gave sound as {self.mime!r}", hint="set GEMINI_SPEECH_MODEL to another")
        try:
            with wave.open(io.BytesIO(self.data)) as file:
                if file.getnchannels() == 1 and file.getsampwidth() == _SAMPLE_BYTES:
                    return file.readframes(file.getnframes()), file.getframerate()
        except (wave.Error, EOFError) as exc:
            raise AnswerError(f"{model} gave a broken WAV file: {exc}") from exc
        raise PermanentError(
            f"{model} gave sound that is not 16-bit mono", hint="set GEMINI_SPEECH_MODEL to another model"
        )


def _reason_of(chunk: Any) -> str:
    reason = chunk.candidates[0].finish_reason if chunk.candidates else None
    return str(reason.value) if reason is not None else ""


def _block_reason_of(chunk: Any) -> str:
    reason = chunk.prompt_feedback.block_reason if chunk.prompt_feedback else None
    return str(reason.value) if reason is not None else ""
