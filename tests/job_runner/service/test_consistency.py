"""The lines that `doctor --fsck` shows for a sum and for findings."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from job_runner.service.consistency import Consistency
from lib.redisqueue.fsck import Census, Finding, FindingKind

EVEN = Census(
    accepted=9,
    expired=1,
    flushed=1,
    intake=1,
    lanes=1,
    leased=1,
    delayed=1,
    done=1,
    failed=1,
    cancelled=1,
    rows=4,
    foreign=0,
    foreign_exact=True,
)


TERMS = ("intake", "lanes", "leased", "delayed", "done", "failed", "cancelled", "expired", "flushed")


def test_the_sum_names_every_term() -> None:
    """Of promise 8, in the order of a job's life."""
    (line,) = Consistency(EVEN, (), repaired=False).checks
    assert (line.state, line.found) == (
        "ok",
        f"accepted 9 = {' + '.join(f'{name} 1' for name in TERMS)}",
    )


def test_an_empty_queue_is_zero() -> None:
    """Not an empty line."""
    nothing = replace(EVEN, accepted=0, expired=0, flushed=0, intake=0, lanes=0, leased=0)
    nothing = replace(nothing, delayed=0, done=0, failed=0, cancelled=0)
    assert Consistency(nothing, (), repaired=False).checks[0].found == "accepted 0 = 0"


@pytest.mark.parametrize("kind", get_args(FindingKind))
def test_every_finding_has_a_mend(kind: FindingKind) -> None:
    """Before a repair it is the repair, after one that could not, what a person may do."""
    finding = Finding(kind, "a", "somewhere", repaired=False)
    before = Consistency(EVEN, (finding,), repaired=False).checks[1]
    after = Consistency(EVEN, (finding,), repaired=True).checks[1]
    assert before.state == after.state == "wrong"
    assert before.found == "a: somewhere"
    assert before.mend
    assert after.mend
    assert "--repair" not in after.mend


def test_what_was_mended_is_not_wrong() -> None:
    """A repaired finding is told and asks for nothing."""
    finding = Finding("stranded", "a", "put back", repaired=True)
    line = Consistency(EVEN, (finding,), repaired=True).checks[1]
    assert (line.name, line.state, line.mend) == ("stranded", "mended", "")


def test_the_document_holds_the_numbers() -> None:
    """Balance included, so that nobody has to add up."""
    finding = Finding("imbalance", "pab", "1 of them", repaired=False)
    document = Consistency(replace(EVEN, accepted=10), (finding,), repaired=False).document()
    assert document["census"]["balance"] == 1
    assert document["findings"] == [{"kind": "imbalance", "subject": "pab", "detail": "1 of them", "repaired": False}]
