"""Errors through JSON and back: what follows from one is decided by its type, in another process."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from job_watcher.child import typed_errors
from lib import errors
from lib.errors import (
    AnswerError,
    BlockedError,
    BudgetError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TaskTimeoutError,
    TemporaryError,
    TruncatedError,
    WaitError,
)
from lib.voice_synth.request import LanguageError

EACH: list[TaskError] = [
    TemporaryError("busy", hint="wait", delay_seconds=2.5),
    TaskTimeoutError("late", delay_seconds=1),
    OverloadedError("503", delay_seconds=0.0),
    AnswerError("empty", hint="again"),
    WaitError("wait", delay_seconds=3),
    QuotaError("used up", window="day", hint="tomorrow", delay_seconds=86_000.5),
    QuotaError("used up", delay_seconds=17),
    BudgetError("reached", hint="raise it", delay_seconds=60),
    PausedError("no key", capability="speaker", hint="mend", delay_seconds=30),
    PausedError("no model", capability="text_model"),
    PermanentError("never", hint="mend"),
    BlockedError("refused"),
    TruncatedError("cut"),
]


@pytest.mark.parametrize("error", EACH, ids=lambda error: type(error).__name__)
def test_every_error_comes_back_as_it_was(error: TaskError) -> None:
    """Type, message, hint, delay, and what its type alone knows."""
    parts = json.loads(json.dumps(typed_errors.parts_of(error)))
    assert typed_errors.is_sound(parts)
    back = typed_errors.error_of(parts)
    assert type(back) is type(error)
    assert vars(back) == vars(error)


def test_none_is_forgotten() -> None:
    """A new type of error that a body may raise must be taken in here, or it arrives as its parent."""
    declared = {
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, TaskError) and kind is not TaskError
    }
    assert declared == {type(error) for error in EACH}


def test_a_type_of_somebody_else_comes_back_as_the_nearest() -> None:
    """A task module may have errors of its own; what is bare is taken for final."""

    class MoodyError(QuotaError):
        code = "moody"

    assert type(typed_errors.error_of(typed_errors.parts_of(MoodyError("no", delay_seconds=1)))) is QuotaError
    assert type(typed_errors.error_of(typed_errors.parts_of(LanguageError("no")))) is PermanentError
    assert type(typed_errors.error_of(typed_errors.parts_of(TaskError("no")))) is PermanentError


def test_a_delay_that_is_none_does_no_harm() -> None:
    """Whatever a body has put there, the child stays sound."""
    wrong: Any = "soon"
    parts = typed_errors.parts_of(TemporaryError("busy", delay_seconds=wrong))
    assert typed_errors.is_sound(parts)
    assert parts["delay_seconds"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"code": "nothing"},
        {"code": 3},
        {"message": None},
        {"hint": 1},
        {"delay_seconds": "1"},
        {"detail": None},
        {"x": 1},
    ],
)
def test_what_is_none_is_refused(change: dict[str, Any]) -> None:
    """Every part is looked at."""
    parts = typed_errors.parts_of(EACH[0])
    assert not typed_errors.is_sound({**parts, **change})
    assert not typed_errors.is_sound({name: parts[name] for name in parts if name != "detail"})
