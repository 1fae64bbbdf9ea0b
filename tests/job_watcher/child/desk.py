"""Whoever answers in these tests: says what it is told, and knows what was asked, what hangs and what was cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from job_watcher.child.questions import Question, Reply

if TYPE_CHECKING:
    from collections.abc import Callable


def words(question: Question) -> Reply:
    """An answer of a text model."""
    said = f"You said {question.payload['prompt']}"
    parts = {"text": said, "value": None, "model": "m", "input_tokens": 1, "output_tokens": 2, "seconds": 0.1}
    return Reply({**parts, "usd": 0.0})


@dataclass
class Desk:
    """Answers from one watcher; what `hang` says yes to waits until `let`."""

    reply: Callable[[Question], Reply] = words
    hang: Callable[[Question], bool] = lambda _: False
    models: dict[str, str] = field(default_factory=lambda: {"text": "m"})
    asked: list[Question] = field(default_factory=list)
    cancelled: int = 0
    under_way: int = 0
    _gate: asyncio.Event = field(default_factory=asyncio.Event)

    def let(self) -> None:
        """Let what hangs be answered."""
        self._gate.set()

    async def answer(self, question: Question) -> Reply:
        """As the test wants it."""
        self.asked.append(question)
        self.under_way += 1
        try:
            if self.hang(question):
                await self._gate.wait()
            await asyncio.sleep(0)
            return self.reply(question)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
