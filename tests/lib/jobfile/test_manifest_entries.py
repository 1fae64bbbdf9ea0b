"""Arguments by position are arguments by name: whatever way an entry is written, it is the same work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobfile import EntryNames, FileRules
from lib.jobfile.manifest_entries import taken_from
from lib.jobqueue import BUILT_IN, normalize_job_spec

if TYPE_CHECKING:
    from lib.jobqueue import TaskKind

RULES = FileRules(names=EntryNames("b"))
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seconds": st.floats(0, 1000) | st.integers(0, 1000),
    "message": st.text(max_size=20),
    "data": DATA,
}
KINDS = [kind for kind in BUILT_IN.kinds if kind.positional and set(kind.positional) <= VALUES.keys()]


def content_of(entry: dict[str, Any]) -> tuple[str, str]:
    """What a sound entry asks for, and under which name."""
    taken = taken_from(entry, RULES, "file")
    assert taken.problems == []
    assert taken.row is not None
    spec = normalize_job_spec(taken.row)
    return spec.content_hash, spec.request_id


def test_the_kinds_with_positions_are_tried() -> None:
    """None is left out because it was forgotten here."""
    assert {kind.name for kind in KINDS} >= {"debug", "sleep", "fast_crud", "sleep_crud"}


@given(st.data(), st.sampled_from(KINDS))
def test_by_position_and_by_name_are_the_same_work(data: st.DataObject, kind: TaskKind) -> None:
    """However many stand in front, under either name of the task."""
    given_values = [
        data.draw(VALUES[name].filter(lambda value: "\ud800" not in repr(value))) for name in kind.positional
    ]
    named = dict(zip(kind.positional, given_values, strict=True))
    wanted = content_of({"task": kind.name, "kwargs": named, "id": "x"})
    for cut in range(len(given_values) + 1):
        rest = dict(list(named.items())[cut:])
        for name in (kind.name, *kind.aliases):
            assert content_of({"task": name, "args": given_values[:cut], "kwargs": rest, "meta": {"id": "x"}}) == wanted


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("payload.seconds", "args[0]"),
        ("payload.data.deep[2].x", "kwargs.data.deep[2].x"),
        ("payload.other", "kwargs.other"),
        ("payload", "kwargs"),
        ("request_id", "meta.id"),
        ("callback_data.of[1]", "meta.of[1]"),
        ("callback_data", "meta"),
        ("priority", "priority"),
        ("", ""),
        ("payload.a\x1b[31m", "kwargs.a\\x1b[31m"),
    ],
)
def test_a_mistake_is_led_back_to_where_it_was_written(where: str, wanted: str) -> None:
    """The place in the entry, and nothing in it that drives a terminal."""
    entry = {"task": "sleep_crud", "args": [1], "kwargs": {"data": {}}, "id": "x"}
    assert taken_from(entry, RULES, "file").place_of(where) == wanted


def test_fields_of_speech_stand_in_kwargs() -> None:
    """Flat in a job, but arguments in an entry."""
    taken = taken_from({"task": "speak", "kwargs": {"text": "t", "voice": "v"}, "id": "x"}, RULES, "file")
    assert taken.place_of("text") == "kwargs.text"
    assert taken.place_of("output_name") == "kwargs.output_name"
    assert taken.row == {"request_id": "b:file:x", "callback_data": {}, "task": "speak", "text": "t", "voice": "v"}


def test_what_was_refused_as_a_whole_is_said_once() -> None:
    """Arguments that are no list: nothing is said of what is missing among them; a nameless entry has no bad name."""
    taken = taken_from({"task": "sleep", "args": "92"}, RULES, "file")
    assert [str(problem) for problem in taken.problems] == [
        "meta.id: is missing; give each entry an id of its own",
        "args: must be a list, not '92'",
    ]
    assert taken.place_of("payload.seconds") is None
    assert taken.place_of("request_id") is None


def test_the_plan_by_hand_wins() -> None:
    """Over that of the entry, which goes back with the record all the same."""
    entry = {"task": "debug", "meta": {"id": "x", "plan": "own"}}
    taken = taken_from(entry, FileRules(names=EntryNames("b", "by-hand")), "file")
    assert taken.row is not None
    assert (taken.row["request_id"], taken.row["callback_data"]) == ("b:by-hand:x", {"id": "x", "plan": "own"})
