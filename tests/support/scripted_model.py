"""A text model that answers as a test tells it to, and remembers what it was asked.

It keeps to the protocol of `lib.capabilities.text_model`: values are checked against the schema as those of the real
models are, errors are those of the protocol. With a `log` every question and every answer is a line of a file, so
that a test can count across processes that were killed.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.capabilities.answers import checked_json
from lib.capabilities.text_model import TextAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lib.capabilities.text_model import TextRequest

    Script = Callable[[TextRequest], Any]


def words(request: TextRequest) -> dict[str, Any]:
    """A sound annotation for `SCHEMA`: how many words the prompt has."""
    return {"words": len(request.prompt.split())}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"words": {"type": "integer"}},
    "required": ["words"],
    "additionalProperties": False,
}


@dataclass
class ScriptedModel:
    """Answers each request with what `script` makes of it; an exception that it returns or raises is raised."""

    script: Script = words
    log: Path | None = None
    model: str = "scripted"
    asked: list[TextRequest] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """What was asked, in order."""
        return [request.prompt for request in self.asked]

    async def answer(self, request: TextRequest) -> TextAnswer:
        """As the script says, after giving others a turn."""
        self.asked.append(request)
        self._note("asked", request)
        await asyncio.sleep(0)
        value = self.script(request)
        if asyncio.iscoroutine(value):
            value = await value
        if isinstance(value, BaseException):
            raise value
        self._note("answered", request)
        text = json.dumps(value)
        if request.schema is not None:
            value = checked_json(text, request.schema)
        return TextAnswer(text, value, self.model, len(request.prompt), 7, 0.01, 0.001)

    async def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """The whole answer as one piece."""
        yield (await self.answer(request)).text

    def tokens_in(self, request: TextRequest) -> int:
        """A character is a token."""
        return len(request.prompt)

    async def prepare(self) -> None:
        """Nothing to load."""

    async def available(self) -> str | None:
        """Always."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""

    def _note(self, what: str, request: TextRequest) -> None:
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(json.dumps([what, request.prompt]) + "\n")


def noted(log: Path, what: str) -> list[str]:
    """The prompts that were `asked` or `answered`, in order, by whatever process."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [prompt for kind, prompt in lines if kind == what]
