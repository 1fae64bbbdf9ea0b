"""The local text model: Ollama, or anything that speaks its API, asked by streams, so that each deadline can be kept.

The one module that knows the vendor's client; it is imported when it is first used, a quarter of a second. It starts
no server and pulls no model: it says what is missing. Nothing is tried again here.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.answers import shown
from lib.capabilities.breaker import Breaker
from lib.capabilities.text_calls import Piece, TextCalls, said_in_full
from lib.capabilities.text_model import USUAL_DEADLINES, TextAnswer, TextRequest
from lib.capabilities.token_estimate import estimated_tokens, least_tokens
from lib.errors import OverloadedError, PausedError, PermanentError, TaskError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from lib.capabilities.text_model import CallDeadlines
    from lib.clock import Clock

_SERVICE: Final = "Ollama"
_LEAST_CONTEXT: Final = 4096
_PAUSE_SECONDS: Final = 15.0
_BUSY: Final = frozenset({-1, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""-1 is what the client says of an error in the middle of an answer."""

_FAILURES: Final = 3
"""Fewer than for a service in the cloud: what hangs here holds up the one slot of this machine."""


class OllamaModel:
    """One model of one server."""

    def __init__(
        self,
        host: str,
        model: str,
        *,
        clock: Clock,
        deadlines: CallDeadlines = USUAL_DEADLINES,
        breaker: Breaker | None = None,
    ) -> None:
        self._host = host
        self._model = model
        self._deadlines = deadlines
        self._breaker = breaker or Breaker(clock, failures=_FAILURES)
        self._calls = TextCalls(_SERVICE, model, clock, deadlines, self._breaker)
        self._made: _Connection | None = None
        self._making = asyncio.Lock()
        self._sees: int | None = None
        self._context = _LEAST_CONTEXT

    @property
    def model(self) -> str:
        """Its name."""
        return self._model

    @property
    def breaker(self) -> Breaker:
        """That of this server."""
        return self._breaker

    async def answer(self, request: TextRequest) -> TextAnswer:
        """See `TextModel`."""
        return await self._calls.whole(request, self._pieces(request), self.tokens_in(request))

    def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """See `TextModel`."""
        return self._calls.streamed(request, self._pieces(request), self.tokens_in(request))

    def tokens_in(self, request: TextRequest) -> int:
        """See `TextModel`. Without the schema: the server makes a grammar of it, which the model never sees."""
        return estimated_tokens(replace(request, schema=None))

    async def prepare(self) -> None:
        """See `ServedModel`."""
        await self._connection()

    async def available(self) -> str | None:
        """Why it cannot serve now, None when it can; asks for the model's description, which loads nothing."""
        refusal = self._breaker.refusal()
        if refusal is not None:
            return refusal
        await self.prepare()
        try:
            async with asyncio.timeout(self._deadlines.connect):
                await self._describe()
        except TimeoutError:
            return f"Ollama at {self._host} does not answer within {self._deadlines.connect:g} s"
        except TaskError as exc:
            return said_in_full(exc)
        return None

    async def aclose(self) -> None:
        """Close its connections. Repeatable."""
        made, self._made = self._made, None
        if made is not None:
            await made.client.close()

    async def _connection(self) -> _Connection:
        async with self._making:
            if self._made is None:
                # In a thread: the import takes a quarter of a second, which leases do not have to wait for.
                self._made = await asyncio.to_thread(_Connection, self._host, self._deadlines.connect)
            return self._made

    async def _describe(self) -> None:
        """Learn how many tokens the model can see at most, 0 where the server does not say."""
        connection = await self._connection()
        try:
            about = await connection.client.show(self._model)
        except connection.errors as exc:
            raise self._error_of(connection, exc) from exc
        sizes = (value for name, value in (about.modelinfo or {}).items() if name.endswith(".context_length"))
        self._sees = next((size for size in sizes if isinstance(size, int)), 0)

    def _room(self, request: TextRequest) -> int:
        """The context to ask for: a power of two, never less than before, since another one loads the model anew."""
        needed = self.tokens_in(request) + request.max_output_tokens
        while self._context < needed and not (self._sees and self._context >= self._sees):
            self._context *= 2
        return min(self._context, self._sees) if self._sees else self._context

    async def _pieces(self, request: TextRequest) -> AsyncGenerator[Piece, None]:
        if self._sees is None:
            await self._describe()
        connection = await self._connection()
        room = self._room(request)
        reason = None
        try:
            stream: Any = await connection.client.chat(**self._words(request, room), stream=True)
            async with contextlib.aclosing(stream):
                async for part in stream:
                    reason = part.done_reason if part.done else reason
                    yield Piece(part.message.content or "", part.prompt_eval_count or None, part.eval_count)
                    if part.done:
                        self._refuse_cut_prompt(request, part.prompt_eval_count, room)
        except connection.errors as exc:
            raise self._error_of(connection, exc) from exc
        if reason is None:
            raise OverloadedError(f"{_SERVICE} ended its answer without saying that it was done")
        if reason == "length":
            raise TruncatedError(
                f"the answer of {self._model} was cut off at its limit of tokens",
                hint="allow more tokens, or ask for less",
            )

    def _words(self, request: TextRequest, room: int) -> dict[str, Any]:
        options = {"temperature": request.temperature, "num_predict": request.max_output_tokens, "num_ctx": room}
        if request.seed is not None:
            options["seed"] = request.seed
        messages = [{"role": "system", "content": request.system}] if request.system else []
        return {
            "model": self._model,
            "messages": [*messages, {"role": "user", "content": request.prompt}],
            "format": None if request.schema is None else dict(request.schema),
            "options": options,
            # What a model says to itself would come before the JSON, and count towards the limit of tokens.
            "think": False,
        }

    def _refuse_cut_prompt(self, request: TextRequest, counted: int | None, room: int) -> None:
        """Raise where the model has seen less than it was sent: the server drops the rest and says nothing.

        A prompt that fills all of the context was cut to that; one of fewer tokens than words lost some on the way.
        """
        if not counted:
            return
        least = least_tokens(request)
        if counted >= room:
            seen = f"the prompt fills the whole context of {self._model}, {room} tokens, so that some of it was cut off"
        elif counted < least:
            seen = f"{self._model} has seen {counted} tokens of a prompt of at least {least}, the rest was cut off"
        else:
            return
        raise TruncatedError(seen, hint="send less at once, or serve a model with a larger context")

    def _error_of(self, connection: _Connection, error: Exception) -> TaskError:
        """What an error of the client is."""
        if isinstance(error, connection.refused):
            return self._refusal(int(getattr(error, "status_code", -1)), shown(str(getattr(error, "error", error))))
        if isinstance(error, connection.no_connection):
            return PausedError(
                f"Ollama does not answer at {self._host}: {shown(str(error)) or type(error).__name__}",
                capability="text_model",
                hint="start it: ollama serve",
                delay_seconds=_PAUSE_SECONDS,
            )
        return OverloadedError(f"{_SERVICE} broke off its answer: {type(error).__name__}: {shown(str(error))}")

    def _refusal(self, status: int, said: str) -> TaskError:
        if status == HTTPStatus.NOT_FOUND:
            return PausedError(
                f"Ollama at {self._host} does not have the model {self._model}",
                capability="text_model",
                hint=f"ollama pull {self._model}",
                delay_seconds=_PAUSE_SECONDS,
            )
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return PausedError(
                f"Ollama at {self._host} refuses us ({status}): {said}",
                capability="text_model",
                hint="is OLLAMA_HOST the right address?",
                delay_seconds=_PAUSE_SECONDS,
            )
        if "context" in said and "exceed" in said:
            return TruncatedError(f"the prompt is longer than what {self._model} can see: {said}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY:
            return OverloadedError(f"Ollama cannot answer now: {said}")
        return PermanentError(f"Ollama refuses the request ({status}): {said}")


class _Connection:
    """The vendor's client and what it may raise."""

    def __init__(self, host: str, connect_seconds: float) -> None:
        import httpx  # noqa: PLC0415 - a quarter of a second, for those who have a local model alone
        import ollama  # noqa: PLC0415

        self.refused = ollama.ResponseError
        self.no_connection = (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout)
        self.errors = (ollama.ResponseError, ConnectionError, httpx.HTTPError, ValueError)
        # Reading has the deadlines of `in_time`; a redirect would lead to nobody who was asked for.
        self.client: Any = ollama.AsyncClient(
            host, timeout=httpx.Timeout(None, connect=connect_seconds), follow_redirects=False
        )
