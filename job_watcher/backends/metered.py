"""Paid models as tasks see them: each call goes through the meter of its attempt, and its answer says what it cost.

The models themselves know nothing of quotas and money, the meter nothing of prompts. Made for each attempt by the cloud
backend; they own no connection, so there is nothing to close.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from job_watcher.backends.metering import Tokens
from lib.capabilities.text_model import TextRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.backends.metering import Meter
    from lib.capabilities.speech_model import SpeechModel, Spoken
    from lib.capabilities.text_model import TextAnswer, TextModel
    from lib.redisqueue.quota import Allowance, Pool


@dataclass(frozen=True, slots=True)
class MeteredModel:
    """A `TextModel` that keeps to quota and budget."""

    inner: TextModel
    meter: Meter
    pool: Pool
    allowance: Allowance

    @property
    def model(self) -> str:
        """Its name."""
        return self.inner.model

    async def answer(self, request: TextRequest) -> TextAnswer:
        """See `TextModel`; raises also as `Meter.paid` does."""
        answer, usd = await self.meter.paid(
            self.pool, self.allowance, self._most(request), lambda: self.inner.answer(request), _taken
        )
        return replace(answer, usd=usd)

    async def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """See `TextModel`. Who breaks off pays the most that it may have cost: what was under way, nobody says."""
        call = await self.meter.begin(self.pool, self.allowance, self._most(request))
        said: list[str] = []
        try:
            async for piece in self.inner.stream(request):
                said.append(piece)
                yield piece
        except BaseException as exc:
            await self.meter.failed(call, exc)
            raise
        # A stream is not counted by the service, so it is estimated as a prompt would be.
        received = self.inner.tokens_in(TextRequest("".join(said)))
        await self.meter.ended(call, Tokens(call.most.input, min(received, call.most.output)))

    def tokens_in(self, request: TextRequest) -> int:
        """See `TextModel`."""
        return self.inner.tokens_in(request)

    async def aclose(self) -> None:
        """Nothing: the model behind it is the backend's."""

    def _most(self, request: TextRequest) -> Tokens:
        return Tokens(self.inner.tokens_in(request), request.max_output_tokens)


@dataclass(frozen=True, slots=True)
class MeteredSpeech:
    """A `SpeechModel` that keeps to quota and budget."""

    inner: SpeechModel
    meter: Meter
    pool: Pool
    allowance: Allowance

    @property
    def model(self) -> str:
        """Its name."""
        return self.inner.model

    async def speak(self, text: str, voice_name: str, style: str = "") -> Spoken:
        """See `SpeechModel`; raises also as `Meter.paid` does."""
        most = Tokens(self.inner.tokens_in(text, style), self.inner.tokens_out(text))
        spoken, usd = await self.meter.paid(
            self.pool, self.allowance, most, lambda: self.inner.speak(text, voice_name, style), _taken
        )
        return replace(spoken, usd=usd)

    def tokens_in(self, text: str, style: str = "") -> int:
        """See `SpeechModel`."""
        return self.inner.tokens_in(text, style)

    def tokens_out(self, text: str) -> int:
        """See `SpeechModel`."""
        return self.inner.tokens_out(text)

    async def aclose(self) -> None:
        """Nothing: the model behind it is the backend's."""


def _taken(answer: TextAnswer | Spoken) -> Tokens:
    return Tokens(answer.input_tokens, answer.output_tokens)
