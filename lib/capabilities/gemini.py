"""Gemini as a text model, asked by streams, so that each deadline can be kept.

It never tries again by itself: what a failure means is the watcher's to decide. It counts no quota and no money; who
gives it to a task wraps it in something that does.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.breaker import Breaker
from lib.capabilities.gemini_client import LazyGeminiClient
from lib.capabilities.gemini_errors import ending
from lib.capabilities.text_calls import Piece, TextCalls, said_in_full
from lib.capabilities.text_model import USUAL_DEADLINES, TextAnswer, TextRequest
from lib.capabilities.token_estimate import most_tokens
from lib.errors import OverloadedError, PausedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from lib.capabilities.text_model import CallDeadlines
    from lib.clock import Clock

_SERVICE: Final = "Gemini"
_LARGEST_SEED: Final = 2**31 - 1
_CAN_LEAVE_THINKING: Final = "gemini-2.5-flash"
"""Models with this name think unless told not to, and thoughts are paid for and count towards the limit of tokens;
a schema is filled as well without. Others may refuse to be told."""


class GeminiModel:
    """One model of the Gemini API with one key."""

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
        self._calls = TextCalls(_SERVICE, model, clock, deadlines, self._breaker)
        self._client = LazyGeminiClient(api_key, base_url, deadlines.connect)

    @property
    def model(self) -> str:
        """Its name."""
        return self._model

    @property
    def breaker(self) -> Breaker:
        """That of this key and model."""
        return self._breaker

    async def answer(self, request: TextRequest) -> TextAnswer:
        """See `TextModel`."""
        return await self._calls.whole(request, self._pieces(request), self.tokens_in(request))

    def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """See `TextModel`."""
        return self._calls.streamed(request, self._pieces(request), self.tokens_in(request))

    def tokens_in(self, request: TextRequest) -> int:
        """See `TextModel`: the most, since quota and money are reserved by it."""
        return most_tokens(request)

    async def prepare(self) -> None:
        """See `ServedModel`."""
        await self._client.get()

    async def available(self) -> str | None:
        """Why it cannot serve now, None when it can; asks for the model's description, which no quota counts."""
        refusal = self._breaker.refusal()
        if refusal is not None:
            return refusal
        client = await self._client.get()
        try:
            async with asyncio.timeout(self._deadlines.connect):
                await client.models.get(model=self._model)
        except TimeoutError:
            return f"Gemini does not answer within {self._deadlines.connect:g} s"
        except client.errors as exc:
            error = client.error_of(exc, model=self._model, now=self._clock.now())
            # A 429 says that it is there; who may ask is another's business.
            return said_in_full(error) if isinstance(error, PausedError | OverloadedError) else None
        return None

    async def aclose(self) -> None:
        """Close its connections. Repeatable."""
        await self._client.aclose()

    async def _pieces(self, request: TextRequest) -> AsyncGenerator[Piece, None]:
        client = await self._client.get()
        reason = block_reason = ""
        answering = False
        try:
            config = _config(client.types, self._model, request)
            async with contextlib.aclosing(client.stream(self._model, request.prompt, config)) as chunks:
                async for chunk in chunks:
                    answering = answering or bool(chunk.candidates)
                    reason = _reason_of(chunk) or reason
                    block_reason = _block_reason_of(chunk) or block_reason
                    yield _piece_of(chunk)
        except client.errors as exc:
            raise client.error_of(exc, model=self._model, now=self._clock.now()) from exc
        if answering and not reason and not block_reason:
            raise OverloadedError(f"{_SERVICE} ended its answer without saying that it was done")
        error = ending(reason, self._model, block_reason)
        if error is not None:
            raise error


def _config(types: Any, model: str, request: TextRequest) -> Any:
    wanted: dict[str, Any] = {
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "candidate_count": 1,
        # A second request behind the first, of which no quota would know.
        "automatic_continuation": False,
    }
    if request.system:
        wanted["system_instruction"] = request.system
    if request.seed is not None:
        wanted["seed"] = request.seed & _LARGEST_SEED
    if request.schema is not None:
        wanted |= {"response_mime_type": "application/json", "response_json_schema": dict(request.schema)}
    if model.startswith(_CAN_LEAVE_THINKING):
        wanted["thinking_config"] = types.ThinkingConfig(thinking_budget=0)
    return types.GenerateContentConfig(**wanted)


def _piece_of(chunk: Any) -> Piece:
    parts = chunk.candidates[0].content.parts if chunk.candidates and chunk.candidates[0].content else None
    text = "".join(part.text or "" for part in parts or () if not part.thought)
    counted = chunk.usage_metadata
    if counted is None:
        return Piece(text)
    received = (counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0)
    return Piece(text, counted.prompt_token_count, received)


def _reason_of(chunk: Any) -> str:
    reason = chunk.candidates[0].finish_reason if chunk.candidates else None
    return str(reason.value) if reason is not None else ""


def _block_reason_of(chunk: Any) -> str:
    reason = chunk.prompt_feedback.block_reason if chunk.prompt_feedback else None
    return str(reason.value) if reason is not None else ""
