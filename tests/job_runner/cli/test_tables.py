"""Plain tables: nothing is cut off, and 80 columns are enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_runner.cli.tables import (
    Table,
    cap_text,
    counted,
    display_width,
    eta_text,
    seconds_text,
    spend_text,
    summary_text,
)


def _table() -> Table:
    return Table(("NAME", "STATUS", "TOOK"), ("left", "left", "right"))


def test_columns_line_up() -> None:
    """Text to the left, numbers to the right, no blanks at the end."""
    table = _table()
    table.row("a", "done", "1.5 s")
    table.row("longer", "queued", "-")
    assert table.lines(80) == ["NAME    STATUS   TOOK", "a       done    1.5 s", "longer  queued      -"]


def test_a_long_name_stands_above_its_row() -> None:
    """And its row still lines up."""
    table = _table()
    table.row("n" * 40, "done", "1.5 s", details=["/some/path"])
    assert table.lines(30) == [
        "NAME             STATUS   TOOK",
        "n" * 40,
        f"{' ' * 15}  done    1.5 s",
        "  /some/path",
    ]


def test_only_the_status_is_painted() -> None:
    """Colour does not move the columns."""
    table = _table()
    table.row("a", "failed", "-")
    lines = table.lines(80, lambda style, text: f"<{style}>{text}</>")
    assert lines == ["<bold>NAME  STATUS  TOOK</>", "a     <failed>failed</>     -"]


def test_wide_characters_take_two_columns() -> None:
    """A name in another script does not push the rest aside."""
    table = _table()
    table.row("日本", "done", "-")
    table.row("ab", "done", "-")
    assert table.lines(80)[1:] == ["日本  done       -", "ab    done       -"]
    assert display_width("日本") == 4
    assert display_width("e\u0301") == 1


@given(st.lists(st.text(max_size=200), max_size=5), st.integers(40, 200))
def test_every_name_is_there_in_full(names: list[str], width: int) -> None:
    """Whatever the names are, each is printed whole, on one line."""
    table = Table(("NAME", "STATUS"), ("left", "left"))
    for name in names:
        table.row(name, "done")
    lines = table.lines(width)
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    assert sum("done" in line for line in lines) >= len(names)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0 s"),
        (0.449, "0.4 s"),
        (59.9, "59.9 s"),
        (60, "1:00"),
        (3599.6, "1:00:00"),
        (86_400, "24:00:00"),
    ],
)
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    """Seconds with a tenth, then clock form."""
    assert seconds_text(seconds) == text


def test_counts_and_summaries() -> None:
    """Words as a person writes them."""
    assert (counted(1, "job"), counted(0, "job"), counted(2, "job")) == ("1 job", "0 jobs", "2 jobs")
    assert summary_text({"queued": 2, "conflict": 1}) == "2 queued, 1 conflict"
    assert summary_text({}) == "nothing"


@pytest.mark.parametrize(("leased", "rate", "shown"), [(1, 30.0, "1:30"), (0, 30.0, "-"), (1, 0.0, "-")])
def test_an_eta_needs_jobs_that_run_and_jobs_that_ended(leased: int, rate: float, shown: str) -> None:
    """A rate from before a pause promises nothing."""
    document = {"totals": {"leased": leased}, "rate": {"jobs_per_min": rate}, "eta_sec": 90}
    assert eta_text(document) == shown


def test_rows_that_are_not_kept_make_the_same_table() -> None:
    """A plan of a hundred thousand jobs is read twice: once for the widths, once for the lines."""
    rows = [("short", "1"), ("a-name-that-is-longer\x07", "22"), ("音", "333")]
    kept = Table(("ID", "NUMBER"), ("left", "right"))
    passing = Table(("ID", "NUMBER"), ("left", "right"))
    for cells in rows:
        kept.row(*cells)
        passing.fit(*cells)
    assert list(passing.lines_of(iter(rows), 60, lambda _, text: text)) == kept.lines(60)
    assert list(passing.lines_of(iter(rows), 20, lambda style, text: f"<{style}:{text}>")) == kept.lines(
        20, lambda style, text: f"<{style}:{text}>"
    )


def test_a_table_without_rows_is_its_heading() -> None:
    """As wide as its titles."""
    assert Table(("ID", "NUMBER"), ("left", "right")).lines(80) == ["ID  NUMBER"]


def test_a_budget_below_a_cent_is_not_nothing() -> None:
    """Cents where they say it all, else four digits: never more spent than there seems to be."""
    assert [cap_text(usd) for usd in (3, 0.5, 0.0018, 0.004, 0.125, 0)] == [
        "$3.00",
        "$0.50",
        "$0.0018",
        "$0.0040",
        "$0.1250",
        "$0.00",
    ]
    said = spend_text({"today_usd": 0.0018, "reserved_usd": 0, "budget_usd": 0.004})
    assert said == "$0.0018 of $0.0040"
