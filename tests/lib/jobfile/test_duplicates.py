"""Two jobs of one file never share a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lib.jobfile.duplicates import ContentTally, NameTally
from tests.lib.jobfile.written import jobs, said

if TYPE_CHECKING:
    from pathlib import Path


def test_both_rows_of_a_request_id_are_named(tmp_path: Path) -> None:
    """With both lines."""
    (line,) = said(
        tmp_path,
        """\
- request_id: r
  output_name: a
  voice: v
  text: t
- output_name: b
  request_id: r
  voice: v
  text: t
""",
    )
    assert line == "6: jobs[1].request_id: 'r' stands in jobs[0] on line 1 too; give each job its own"


def test_both_rows_of_an_output_name_are_named_once(tmp_path: Path) -> None:
    """The request_ids that come of it are the same mistake."""
    (line,) = said(tmp_path, "- {output_name: a, voice: v, text: t}\n- {output_name: a, voice: v, text: u}\n")
    assert line == "2: jobs[1].output_name: 'a' stands in jobs[0] on line 1 too; give each job its own"


def test_an_output_name_is_shared_even_under_two_ids(tmp_path: Path) -> None:
    """The second would overwrite the first."""
    (line,) = said(
        tmp_path,
        "- {request_id: x, output_name: a, voice: v, text: t}\n- {request_id: y, output_name: a, voice: v, text: t}\n",
    )
    assert "jobs[1].output_name: 'a' stands in jobs[0]" in line


def test_a_derived_id_can_meet_a_given_one(tmp_path: Path) -> None:
    """`a/b` becomes `a:b`."""
    (line,) = said(tmp_path, "- {request_id: 'a:b', voice: v, text: t}\n- {output_name: a/b, voice: v, text: t}\n")
    assert line.startswith("2: jobs[1].request_id: 'a:b' stands in jobs[0] on line 1")


def test_two_rows_that_share_both_names_are_one_mistake(tmp_path: Path) -> None:
    """One line is enough to find both rows; a third row has a line of its own."""
    row = "- {request_id: r, output_name: a, voice: v, text: t}\n"
    assert [line.split(": ")[:2] for line in said(tmp_path, row * 3)] == [
        ["2", "jobs[1].output_name"],
        ["3", "jobs[2].output_name"],
    ]


def test_every_further_row_names_the_first(tmp_path: Path) -> None:
    """Three of a kind are two mistakes."""
    lines = said(tmp_path, "- {output_name: a, voice: v, text: t}\n" * 3)
    assert [line.partition(":")[0] for line in lines] == ["2", "3"]
    assert all("jobs[0] on line 1" in line for line in lines)


def test_duplicates_are_found_beside_other_mistakes(tmp_path: Path) -> None:
    """All at once means all."""
    lines = said(tmp_path, "- {output_name: a, voice: v}\n- {output_name: a, voice: v, text: t}\n")
    assert len(lines) == 2


def test_the_second_reading_knows_the_defaults(tmp_path: Path) -> None:
    """Names are looked for as they were counted."""
    (line,) = said(
        tmp_path,
        "defaults: {voice: v}\njobs:\n  - {output_name: a, text: t}\n  - {request_id: a, text: t}\n",
    )
    assert "line 3" in line


def test_names_that_differ_are_no_duplicates(tmp_path: Path) -> None:
    """Case and trailing parts count."""
    assert len(jobs(tmp_path, "".join(f"- {{output_name: {n}, voice: v, text: t}}\n" for n in ("a", "A", "a/a")))) == 3


@given(st.lists(st.text(max_size=3)))
def test_a_name_that_stands_twice_is_always_suspected(names: list[str]) -> None:
    """And one that stands once never is, but for a collision of 64-bit hashes."""
    tally = NameTally()
    for name in names:
        tally.add(name)
    assert tally.suspects() == {hash(name) for name in names if names.count(name) > 1}


@given(st.lists(st.tuples(st.text(max_size=2), st.text(max_size=1))))
def test_a_name_with_two_contents_is_always_suspected(rows: list[tuple[str, str]]) -> None:
    """And one that always came with the same content never is, however often it came."""
    tally = ContentTally()
    for name, content in rows:
        tally.add(name, content)
    contents: dict[str, set[str]] = {}
    for name, content in rows:
        contents.setdefault(name, set()).add(content)
    assert tally.suspects() == {hash(name) for name, seen in contents.items() if len(seen) > 1}
