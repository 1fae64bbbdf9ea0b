"""The table fits a terminal, the document is JSON, and the page says what was not met."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.figure import Figure, Found, Loss, at_most, ratio_at_least
from bench.page import page
from bench.peers.measuring import Taken
from bench.peers.roster import OWN
from bench.report import BUSY, SCHEMA, amount, disturbed, document, missed, peer_grid, table

CONDITIONS = {"date": "2026-01-02 03:04 UTC", "run": "full", "repeats": "3", "cores": "2", "Python": "3.11.7"}


def found() -> Found:
    """A bit of everything."""
    return Found(
        figures=[
            Figure("submit", "in bulk, 500 a call", "/s", (60_000, 61_000), (60_000, 60_000), "raw", ratio_at_least(1)),
            Figure("drain", "one watcher, through the conductor", "/s", (5e3,), (2e4,), "raw", ratio_at_least(0.55)),
            Figure("latency", "submit to body, p50", "ms", (1.234,), (0.5,), target=at_most(2), note="300 jobs"),
            Figure("commands", "to queue it: calls of a script", "", (0.002,), (0.0,)),
            Figure("growth", "submit, 1k waiting", "/s", (50.0,), (100.0,)),
            Figure("growth", "submit, 1M waiting", "/s", (45.0,), (100.0,)),
            Figure("peers", "drain", "/s", (1e4,), (2e4,), who="job-runner", note="200 slots"),
            Figure("peers", "to body p50", "ms", (1.5,), who="job-runner", note="200 slots"),
            Figure("peers", "drain", "/s", (2e3,), (2e4,), who="huey", note="4 threads"),
        ],
        losses=[
            Loss("job-runner", "defaults", 30, 10, 0, 0, 1.2, 4.0),
            Loss("huey", "none", 12, 4, 4, 0, None, 60.0),
        ],
        failures={"speech": "not over after 60 s\nindeed"},
    )


@pytest.fixture
def told() -> dict[str, Any]:
    """Its document, as the JSON file has it."""
    loaded: dict[str, Any] = json.loads(json.dumps(document(found(), CONDITIONS)))
    return loaded


def test_the_document_names_its_form_and_its_conditions(told: dict[str, Any]) -> None:
    """A program that reads it knows what it reads."""
    assert (told["schema"], told["conditions"]) == (SCHEMA, CONDITIONS)
    assert {"part", "who", "what", "unit", "ours", "beside", "ratio", "target", "met"} <= set(told["figures"][0])
    assert [each["met"] for each in told["figures"][:4]] == [True, False, True, None]
    assert [each["who"] for each in told["losses"]] == ["job-runner", "huey"]


def test_the_table_fits_a_hundred_columns(told: dict[str, Any]) -> None:
    """Also with the longest names that there are."""
    lines = table(told)
    assert max(map(len, lines)) <= 110
    assert not any(line != line.rstrip() for line in lines)


def test_the_table_says_what_is_met(told: dict[str, Any]) -> None:
    """Ours, raw, the ratio and the bound in one row."""
    rows = {line.strip()[:20]: line for line in table(told)}
    missed = ["5", "000", "/s", "20", "000", "/s", "0.25", "x", "0.25-0.25", "≥", "0.55", "NOT", "MET"]
    assert rows["one watcher, through"].split()[-13:] == missed
    assert rows["submit to body, p50 "].split()[-4:] == ["≤", "2", "ms", "met"]


def test_peers_stand_side_by_side(told: dict[str, Any]) -> None:
    """A row for each, a dash for what was not measured."""
    grid = peer_grid([each for each in told["figures"] if each["part"] == "peers"])
    assert grid == {"job-runner": {"drain": "0.500 x", "to body p50": "1.5 ms"}, "huey": {"drain": "0.100 x"}}
    assert any(line.split() == ["huey", "0.100", "x", "-"] for line in table(told))


def test_a_loss_is_told_as_it_is(told: dict[str, Any]) -> None:
    """What never came back is no number of seconds."""
    lines = [line.split() for line in table(told)]
    assert ["huey", "4", "4", "0", "not", "within", "60", "s"] in lines
    assert ["job-runner", "10", "0", "0", "1.2", "s"] in lines


def test_each_miss_is_told_with_how_far_it_is(told: dict[str, Any]) -> None:
    """In the table too; too slow is over, too few is short, and a hair's breadth is not nothing."""
    [few] = missed(told["figures"])
    assert few == "drain, one watcher, through the conductor: 0.25 of raw, ≥ 0.55 wanted: 55 % short"
    assert "not met" in table(told)
    late = Figure("latency", "submit to body, p50", "ms", (2.0001,), (0.5,), target=at_most(2))
    assert missed([late.document()]) == ["latency, submit to body, p50: 2 ms, ≤ 2 ms wanted: 0.1 % over"]


def test_one_run_of_a_loss_is_said_to_be_one(told: dict[str, Any]) -> None:
    """What was lost is certain; a single time is not."""
    assert [each["runs"] for each in told["losses"]] == [1, 1]
    assert any(line.endswith("n = 1 each") for line in table(told))


def test_a_busy_machine_is_told_first(told: dict[str, Any]) -> None:
    """In the table and on the page, and on neither when there was nothing else to do."""
    assert not disturbed(told["conditions"])
    told["conditions"][BUSY] = "load 1.57, quiet is up to 0.50 on 2 cores"
    said = "The machine was busy when this run began (load 1.57, quiet is up to 0.50 on 2 cores): "
    assert table(told)[1].startswith(said)
    assert f"**{said}" in page(told, [])


def test_what_has_nothing_beside_it_says_so() -> None:
    """No nought stands there as if raw took no time and no memory."""
    taken = Taken()
    for own in (520.0, 530.0):
        taken.note("bytes a job", own)
        taken.note("drain", 1e4, 2e4)
    alone, pair = (each.document() for each in taken.figures(OWN))
    assert (alone["beside"], alone["beside_is"], alone["ratio"]) == (None, None, None)
    assert (pair["beside_is"], pair["ratio"]["median"]) == ("raw", 0.5)


def test_what_failed_stands_in_the_report(told: dict[str, Any]) -> None:
    """A missing figure is never silent."""
    assert "not over after 60 s" in "\n".join(table(told))
    assert "- speech: not over after 60 s indeed" in page(told, [])


def test_the_page_lists_conditions_targets_and_pictures(told: dict[str, Any]) -> None:
    """First what was met and what not, then every table."""
    text = page(told, ["peers.svg"])
    assert "Of 3 targets 2 are met; not met:" in text
    assert "- drain, one watcher, through the conductor: 0.25 of raw, ≥ 0.55 wanted: 55 % short" in text
    assert "| Python | 3.11.7 |" in text
    assert "- huey: 4 threads" in text
    assert "| huey | 4 of 12 | 4 | 0 | not within 60 s | none |" in text
    assert "n = 1 for each" in text
    assert "](peers.svg)" in text
    assert "](growth.svg)" not in text


def test_tables_of_the_page_have_even_rows(told: dict[str, Any]) -> None:
    """A cell too many would shift a figure under another heading."""
    widths: list[int] = []
    for line in page(told, []).splitlines():
        if line.startswith("|"):
            widths.append(line.count("|"))
        elif widths:
            assert len(set(widths)) == 1, line
            widths = []


@pytest.mark.parametrize(
    ("value", "text"), [(12_345.6, "12 346 B"), (100, "100 B"), (99.96, "100 B"), (1.2345, "1.23 B"), (0.0, "0 B")]
)
def test_an_amount_has_the_digits_that_count(value: float, text: str) -> None:
    """No more than a run can tell."""
    assert amount(value, "B") == text
