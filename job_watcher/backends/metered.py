"""A paid text model as tasks see it: each call goes through the meter of its attempt, and its answer says what it cost.

The model behind it knows nothing of quotas and money, the meter nothing of prompts. Made for each attempt by the cloud
backend; it owns no connection, so there is nothing to close.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from job_watcher.backends.metering import Tokens
from lib.capabilities.text_model import TextRequest
from lib.capabilities.token_estimate import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.backends.metering import Meter
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
        pieces = self.inner.stream(request)
        try:
            async for piece in pieces:
                said.append(piece)
                yield piece
        except BaseException as exc:
            if isinstance(pieces, AsyncGenerator):
                # Its connection goes now, not when somebody collects the garbage.
                await pieces.aclose()
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
        output = request.max_output_tokens
        return Tokens(self.inner.tokens_in(request), output, likely=estimated_tokens(request) + output)


def _taken(answer: TextAnswer) -> Tokens:
    return Tokens(answer.input_tokens, answer.output_tokens)
