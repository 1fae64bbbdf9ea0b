"""What every text model does around one call: breaker, deadlines, the whole answer out of its pieces, its JSON.

A vendor's module says how pieces are got and what its errors mean; this knows no vendor. `Pieces` raise typed errors
alone, those of the end (blocked, cut off) too.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.capabilities.answers import checked_json
from lib.capabilities.deadlines import in_time
from lib.capabilities.text_model import TextAnswer
from lib.errors import AnswerError, BlockedError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from lib.capabilities.breaker import Breaker
    from lib.capabilities.text_model import CallDeadlines, TextRequest
    from lib.clock import Clock
    from lib.errors import TaskError


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text, and what the service has counted so far, None where it says nothing."""

    text: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TextCalls:
    """The calls of one model. `service` is its name in messages, `model` as prices know it."""

    service: str
    model: str
    clock: Clock
    deadlines: CallDeadlines
    breaker: Breaker

    async def whole(self, request: TextRequest, pieces: AsyncGenerator[Piece, None], estimate: int) -> TextAnswer:
        """The answer when it is complete and checked. `estimate` of the prompt's tokens, should nobody count them."""
        began = self.clock.elapsed()
        said = _Said(estimate)
        with said.counting():
            async for piece in self._guarded(pieces):
                said.add(piece)
            value = self.checked(request, said.text)
        received = len(said.texts) if said.received is None else said.received
        return TextAnswer(said.text, value, self.model, said.sent, received, self.clock.elapsed() - began)

    async def streamed(
        self, request: TextRequest, pieces: AsyncGenerator[Piece, None], estimate: int
    ) -> AsyncIterator[str]:
        """The text as it comes; what is wrong with the whole is raised behind the last piece."""
        said = _Said(estimate)
        with said.counting():
            async with contextlib.aclosing(self._guarded(pieces)) as guarded:
                async for piece in guarded:
                    said.add(piece)
                    if piece.text:
                        yield piece.text
            self.checked(request, said.text)

    def checked(self, request: TextRequest, text: str) -> Any:
        """The answer's JSON, None where none was asked for."""
        if not text.strip():
            raise AnswerError(f"the answer of {self.service} is empty")
        return None if request.schema is None else checked_json(text, request.schema)

    async def _guarded(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        async with contextlib.aclosing(in_time(pieces, self.deadlines, self.service)) as timed:
            with self.breaker.call(self.service, "text_model"):
                async for piece in timed:
                    yield piece


def said_in_full(error: TaskError) -> str:
    """An error's message with its mend, for people who ask why nothing is served."""
    return error.message if error.hint is None else f"{error.message} ({error.hint})"


@dataclass(slots=True)
class _Said:
    """What has come of one answer, and what the service has counted of it so far; `sent` is an estimate until then."""

    sent: int
    received: int | None = None
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.texts)

    def add(self, piece: Piece) -> None:
        """One piece more."""
        self.texts.append(piece.text)
        self.sent = self.sent if piece.input_tokens is None else piece.input_tokens
        self.received = self.received if piece.output_tokens is None else piece.output_tokens

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Whatever is wrong with the answer says what was counted for it; an answer that broke off has no count."""
        try:
            yield
        except (AnswerError, BlockedError, TruncatedError) as exc:
            # A refusal is free, and so is not counted.
            if self.received is not None and not exc.free:
                exc.counted = (self.sent, self.received)
            raise
