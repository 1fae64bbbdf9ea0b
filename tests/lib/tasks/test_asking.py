"""One question: asked again and differently until an answer fits, and no more often than that."""

from __future__ import annotations

from typing import Any

import pytest

from lib.errors import AnswerError, BlockedError, OverloadedError, QuotaError
from lib.tasks.asking import TEMPERATURES, Questioner
from tests.support.scripted_model import SCHEMA, ScriptedModel


def questioner(*answers: Any) -> tuple[Questioner, ScriptedModel]:
    """One whose model gives these answers in turn."""
    rest = iter(answers)
    model = ScriptedModel(lambda _: next(rest))
    return Questioner(model, "system", SCHEMA, 100, 5), model


async def test_the_first_answer_that_fits_is_taken() -> None:
    """At the lowest temperature, with the seed of the batch."""
    asking, model = questioner({"words": 1})
    assert (await asking.ask("how many?")).value == {"words": 1}
    assert [(each.temperature, each.seed) for each in model.asked] == [(0.0, 5)]


async def test_no_two_tries_are_the_same() -> None:
    """At temperature 0 a model would make the same mistake again."""
    asking, model = questioner(AnswerError("empty"), {"words": "x"}, {"words": 3})
    assert (await asking.ask("how many?")).value == {"words": 3}
    assert [(each.temperature, each.seed) for each in model.asked] == [(0.0, 5), (0.4, 6), (0.8, 7)]


async def test_the_last_mistake_is_told() -> None:
    """After as many tries as there are temperatures."""
    asking, model = questioner(AnswerError("empty"), AnswerError("no JSON"), {"words": "x"})
    with pytest.raises(AnswerError, match="words: 'x' is not of type 'integer'"):
        await asking.ask("how many?")
    assert len(model.asked) == len(TEMPERATURES)


@pytest.mark.parametrize(
    "error", [BlockedError("no"), OverloadedError("busy"), QuotaError("full", delay_seconds=1), ValueError("a bug")]
)
async def test_anything_else_is_not_tried_again(error: Exception) -> None:
    """Whether it is worth another try is not decided here."""
    asking, model = questioner(error)
    with pytest.raises(type(error)):
        await asking.ask("how many?")
    assert len(model.asked) == 1
