"""No output name leaves its root: the names themselves."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue import InvalidJobError, normalize_job_spec
from lib.jobqueue.output_names import MAX_NAME_BYTES, MAX_PART_BYTES, output_name_problem
from tests.lib.jobqueue.strategies import names

REFUSED = {
    "parent": "../x",
    "parent inside": "a/../b",
    "parent at the end": "a/..",
    "only parent": "..",
    "dot": "./a",
    "dot inside": "a/./b",
    "absolute": "/etc/passwd",
    "trailing slash": "a/",
    "only a slash": "/",
    "empty part": "a//b",
    "blank part": "a/ /b",
    "blank": "  ",
    "empty": "",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[31m",
    "C1 control": "a\x85b",
    "right-to-left override": "a\u202egnp",
    "backslash": "a\\b",
    "backslash parent": "..\\x",
    "percent dots": "%2e%2e/x",
    "percent dots in capitals": "a/%2E%2E/x",
    "percent slash": "a%2fb",
    "percent NUL": "a%00",
    "double percent": "a%252e",
    "the store": ".store/x",
    "the store on a Mac": ".Store/x",
    "the store's list": "a/.published.json",
    "a temporary name": "a/.tmp-1",
    "lone surrogate": "a\ud800",
    "too long": "a" * (MAX_NAME_BYTES + 1),
    "too long in bytes": "é" * 200 + "/" + "é" * 100,
    "part too long": "a" * (MAX_PART_BYTES + 1),
    "part too long in bytes": "é" * 128,
}


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED.keys())
def test_a_name_that_could_leave_its_root_is_refused_at_submit(name: str) -> None:
    """The job is refused, the field is named, and the message says what to do."""
    with pytest.raises(InvalidJobError) as caught:
        normalize_job_spec({"request_id": "r", "voice": "v", "text": "t", "output_name": name})
    (problem,) = caught.value.problems
    assert problem.field == "output_name"
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "topic/beat-001",
        "a.b/c..d",
        "...",
        "a/...",
        "Ünïcode/音声",
        "with space/and more",
        "50%",
        "a" * MAX_PART_BYTES,
    ],
)
def test_an_ordinary_name_is_kept_verbatim(name: str) -> None:
    """Dots inside a part, spaces and any letters are fine."""
    assert output_name_problem(name) is None
    spec = normalize_job_spec({"voice": "v", "text": "t", "output_name": name})
    assert spec.output_name == name
    assert spec.request_id == name.replace("/", ":")


@given(st.text(st.characters(exclude_categories=()), max_size=40) | names)
def test_whatever_is_accepted_has_only_plain_parts(name: str) -> None:
    """The rule holds for every text there is, not only for the attacks that somebody thought of."""
    if output_name_problem(name) is not None:
        return
    path = PurePosixPath(name)
    assert not path.is_absolute()
    assert str(path) == name
    assert not {"", ".", ".."} & set(path.parts)
    assert name.isprintable()
    assert "\\" not in name


@given(st.lists(st.sampled_from(["..", ".", "", "a", "%2e%2e", "\\", "/", "\0", "b"]), max_size=8).map("/".join))
def test_no_mixture_of_attacks_passes(name: str) -> None:
    """Joined in any order, only the harmless parts may remain."""
    if output_name_problem(name) is None:
        assert set(name.split("/")) <= {"a", "b"}
