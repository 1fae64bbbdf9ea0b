"""What the pictures show is chosen from the report in plain values; drawing them is matplotlib's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.plotting import Bar, draw, growth_lines, peer_bars, ratio_bars, recovery_bars
from bench.report import document
from tests.bench.test_report import CONDITIONS, found

if TYPE_CHECKING:
    from pathlib import Path

TOLD = document(found(), CONDITIONS)


def test_ratios_carry_their_targets() -> None:
    """Only where raw does the same work: a latency is no bar among them."""
    assert [(bar.name, bar.value, bar.target) for bar in ratio_bars(TOLD)] == [
        ("submit: in bulk, 500 a call", pytest.approx(1.008), 1),
        ("drain: one watcher, through the conductor", 0.25, 0.55),
    ]


def test_peers_are_one_bar_each() -> None:
    """By raw where there is a raw one, else in their own unit."""
    assert peer_bars(TOLD, "drain") == [Bar("job-runner", 0.5, 0.5, 0.5), Bar("huey", 0.1, 0.1, 0.1)]
    assert peer_bars(TOLD, "to body p50") == [Bar("job-runner", 1.5, 1.5, 1.5)]


def test_growth_is_by_the_smallest_queue() -> None:
    """So that flat is a level line at one, whatever is measured."""
    [line] = growth_lines(TOLD)
    assert (line.name, line.which) == ("submit", "waiting")
    assert [size for size, _ in line.points] == [1_000, 1_000_000]
    assert [value for _, value in line.points] == pytest.approx([1.0, 0.9])


def test_who_did_not_recover_is_said_to() -> None:
    """The bar ends where nobody looked any more; the name says that it is no recovery."""
    assert [(bar.name, bar.value) for bar in recovery_bars(TOLD)] == [
        ("job-runner (none lost)", 1.2),
        ("huey (4 lost, not over)", 60.0),
    ]


def test_pictures_are_the_same_for_the_same_report(tmp_path: Path) -> None:
    """A diff of docs/benchmarks shows figures and nothing else; without the extra there is nothing to draw with."""
    pytest.importorskip("matplotlib")
    told = {**TOLD, "figures": [each for each in TOLD["figures"] if each["part"] == "drain"], "losses": []}
    contents = []
    for _ in range(2):
        assert draw(told, tmp_path) == ["ratios.svg"]
        contents.append((tmp_path / "ratios.svg").read_text())
    assert contents[0] == contents[1]
    assert contents[0].startswith("<?xml")
    assert str(tmp_path) not in contents[0]
