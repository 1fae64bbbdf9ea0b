"""A text model as a task sees it: a prompt in, a whole and checked answer out, with what it took.

It does not say which model there is (Ollama on metal, Gemini on the cloud) nor what a call may cost: who runs the task
gives it one that keeps to quotas and budget. A call that is cancelled leaves no connection behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One question. `schema` is a JSON schema for the answer; without it the answer is plain text."""

    prompt: str
    system: str = ""
    schema: Mapping[str, Any] | None = None
    max_output_tokens: int = 1024
    temperature: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """A complete answer; `value` is its JSON, checked against the schema, None where none was asked for.

    Tokens are as the service counts them, `seconds` the whole call, `usd` what it cost.
    """

    text: str
    value: Any
    model: str
    input_tokens: int
    output_tokens: int
    seconds: float
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class CallDeadlines:
    """Seconds until connected, until the first byte of the answer, between two pieces, and for all of it."""

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 600.0


USUAL_DEADLINES: Final = CallDeadlines()


class TextModel(Protocol):
    """One model behind one service."""

    @property
    def model(self) -> str:
        """Its name, as the service and the price table spell it."""

    async def answer(self, request: TextRequest) -> TextAnswer:
        """Ask, and return only a complete answer that the schema accepts.

        Raises:
            QuotaError: the service says that a quota is used up, and until when.
            PausedError: the server is down, its model is missing, or too many calls in a row have failed.
            OverloadedError: it cannot now, or a deadline of the call passed.
            BlockedError, TruncatedError: as they say.
            AnswerError: there is no answer, or not one that the schema accepts.

        """

    def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """The text of the answer piece by piece; raises as `answer` does, also after the last piece."""

    def tokens_in(self, request: TextRequest) -> int:
        """The most tokens that the prompt may have, where it is paid for, else an estimate; without asking anybody."""

    async def aclose(self) -> None:
        """Close its connections. Repeatable."""


class ServedModel(TextModel, Protocol):
    """A model that says whether its service can serve it now."""

    async def prepare(self) -> None:
        """Load the vendor's library, seconds on a busy machine; asks nobody. Repeatable."""

    async def available(self) -> str | None:
        """Why it cannot, None when it can. Asks the service; costs nothing there."""
