"""One question to a text model whose answer must fit a schema: asked again, a little differently, when it does not.

A small model sometimes misses a schema, and at temperature 0 it would miss it in the same way each time. So each try
has a seed of its own, and a higher temperature. The task `annotate` asks through it; it keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.text_model import TextRequest
from lib.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.capabilities.text_model import TextAnswer, TextModel

TEMPERATURES: Final = (0.0, 0.4, 0.8)
"""Of the tries, in order: the likeliest answer first, then others."""


@dataclass(frozen=True, slots=True)
class Questioner:
    """What all questions of a batch share. That an answer fits is the model's promise, and is not looked at again."""

    model: TextModel
    system: str
    schema: Mapping[str, Any]
    max_output_tokens: int
    seed: int

    async def ask(self, prompt: str) -> TextAnswer:
        """An answer that the schema accepts.

        Raises:
            AnswerError: none of the tries gave one; says what was wrong with the last.
            TaskError: as the model raises it.

        """
        failed: AnswerError | None = None
        for number, temperature in enumerate(TEMPERATURES):
            request = TextRequest(
                prompt, self.system, self.schema, self.max_output_tokens, temperature, self.seed + number
            )
            try:
                return await self.model.answer(request)
            except AnswerError as exc:
                failed = exc
        assert failed is not None  # noqa: S101  there is at least one try
        raise failed
