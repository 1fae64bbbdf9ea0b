"""Models that a body in a child uses as if they were here; every call is made by the watcher.

Each belongs to one order, so that a thread that outlives its body cannot ask in the name of the next. The child's main
module makes them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from job_watcher.child.questions import TEXT, ask_for_speech, ask_for_text, spoken_of, text_answer_of
from lib.capabilities.token_estimate import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from concurrent.futures import Future

    from job_watcher.child.questions import Question, Reply
    from lib.capabilities.speech_model import Spoken
    from lib.capabilities.text_model import TextAnswer, TextRequest

    Asking = Callable[[Question], Future[Reply]]


class AskedTextModel:
    """A text model of the watcher."""

    def __init__(self, model: str, ask: Asking) -> None:
        self._model = model
        self._ask = ask

    @property
    def model(self) -> str:
        """As the watcher named it in the order."""
        return self._model

    async def answer(self, request: TextRequest) -> TextAnswer:
        """As the watcher's model answers, and raises."""
        return text_answer_of(await asyncio.wrap_future(self._ask(ask_for_text(request))))

    async def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """The whole answer in one piece, when it is there."""
        yield (await self.answer(request)).text

    def tokens_in(self, request: TextRequest) -> int:
        """As the models estimate it."""
        return estimated_tokens(request)

    async def aclose(self) -> None:
        """Nothing: the connections are the watcher's."""


class AskedSpeech:
    """A speech model of the watcher; blocks, as engines do."""

    def __init__(self, model: str, ask: Asking) -> None:
        self._model = model
        self._ask = ask

    @property
    def model(self) -> str:
        """As the watcher named it in the order."""
        return self._model

    def speak(self, text: str, voice_name: str, style: str) -> Spoken:
        """As the watcher's model speaks, and raises."""
        return spoken_of(self._ask(ask_for_speech(text, voice_name, style)).result())


def text_model_of(models: Mapping[str, str], ask: Asking) -> AskedTextModel | None:
    """The text model among those that an order names."""
    return AskedTextModel(models[TEXT], ask) if TEXT in models else None
