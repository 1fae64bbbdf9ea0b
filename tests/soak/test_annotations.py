"""What the soak of annotations calls a problem: one run that was as promised, and each way in which one is not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.soak.annotations import EXAMPLE, KILLS, Course, Report
from tests.support.json_examples import example

COURSE = Course(records=6, batch=2)
NAMES = [f"rec-{number:04d}" for number in range(6)]
POISONED = COURSE.poisoned


def as_promised() -> Report:
    """Six records, one of them poisoned, each asked once."""
    sound = example(json.loads((EXAMPLE / "schema.json").read_text()), "")
    return Report(
        course=COURSE,
        annotations={name: sound for name in NAMES if name != POISONED},
        rows=5,
        failed={POISONED: "truncated"},
        kept=0,
        asked=Counter(NAMES),
        verified={"rows": [{"sound": False, "problem": f"failed: {POISONED}"}, {"sound": True, "problem": ""}]},
        verify_code=1,
        left_to_plan=0,
        seconds=1.0,
    )


def test_a_run_as_promised_has_no_problem() -> None:
    """Also with as many questions asked again as there were kills."""
    assert as_promised().problems() == []
    assert replace(as_promised(), asked=Counter([*NAMES, *NAMES[:KILLS]])).problems() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": {}}, "not annotated"),
        ({"annotations": {**as_promised().annotations, NAMES[0]: 7}}, "the schema refuses"),
        ({"rows": 6}, "two annotations"),
        ({"failed": {}}, "failed: {}"),
        ({"asked": Counter(NAMES[1:])}, f"never asked: ['{NAMES[0]}']"),
        ({"asked": Counter(NAMES * 2)}, "asked again"),
        ({"kept": 1}, "kept and not seen"),
        ({"verify_code": 0}, "verify: "),
        ({"verified": {"rows": [{"sound": False, "problem": "another"}]}}, "verify names another"),
        ({"left_to_plan": 1}, "1 are left to plan"),
    ],
)
def test_each_broken_promise_is_told(change: dict[str, Any], said: str) -> None:
    """By its name."""
    assert any(said in each for each in replace(as_promised(), **change).problems())
