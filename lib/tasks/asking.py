"""One question to a text model whose answer must fit a schema: asked again, a little differently, when it does not.

A small model sometimes misses a schema, and at temperature 0 it would miss it in the same way each time. So each try
has a seed of its own, and a higher temperature. The task `annotate` asks through it; it keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.text_model import TextRequest
from lib.errors import AnswerError
from lib.jobqueue.json_values import json_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.capabilities.text_model import TextAnswer, TextModel

TEMPERATURES: Final = (0.0, 0.4, 0.8)
"""Of the tries, in order: the likeliest answer first, then others."""


@dataclass(frozen=True, slots=True)
class Questioner:
    """What all questions of a batch share; `check` says what the schema has against a value, or None."""

    model: TextModel
    system: str
    schema: Mapping[str, Any]
    max_output_tokens: int
    seed: int
    check: Callable[[Any], str | None]

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
                answer = await self.model.answer(request)
            except AnswerError as exc:
                failed = exc
                continue
            problem = self._problem(answer.value)
            if problem is None:
                return answer
            failed = AnswerError(f"the answer does not fit the schema: {problem}", hint="make the schema simpler")
        assert failed is not None  # noqa: S101  there is at least one try
        raise failed

    def _problem(self, value: Any) -> str | None:
        odd = next(json_problems(value, "the answer"), None)
        return self.check(value) if odd is None else str(odd)
