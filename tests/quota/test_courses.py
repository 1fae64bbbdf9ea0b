"""The courses' command line: `make quota` names none, and means all."""

from __future__ import annotations

import pytest

from tests.quota.__main__ import COURSES, options_of


def test_none_named_means_all() -> None:
    """As the target of the Makefile calls it."""
    assert options_of([]).courses == list(COURSES)
    assert options_of(["day", "budget"]).courses == ["day", "budget"]


def test_another_name_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the courses."""
    with pytest.raises(SystemExit) as ended:
        options_of(["budgets"])
    assert ended.value.code == 2
    assert "'budgets' is none of allowance, closing, day, budget" in capsys.readouterr().err
