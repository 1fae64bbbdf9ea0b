"""The measure of quotes: what it asks to be made, how it reads what came, and when it says that a quote was off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bench.quote import SCENES, WITHIN, Outcome, came_to, row_of, rows
from bench.stand import StandError
from job_runner.service.planning import plan
from lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from bench.quote import Scene

RIGHT = Outcome("both", "measured", seconds=10, seconds_p90=12, took=10, usd=0.5, cost=0.5)


def test_off_is_the_worse_of_time_and_money() -> None:
    """As a share of what came; dollars that were foretold where nothing was paid are off altogether."""
    assert RIGHT.off == 0
    assert replace(RIGHT, took=12.5).off == pytest.approx(WITHIN)
    assert replace(RIGHT, cost=0.4).off == pytest.approx(0.25)
    assert replace(RIGHT, cost=0.0).off == 1.0
    assert replace(RIGHT, usd=0.0, cost=0.0).off == 0
    assert "off by 25%" in replace(RIGHT, cost=0.4).line


def test_what_came() -> None:
    """From the first start to the last end, whoever ended last; the sum of what was charged."""
    records: list[dict[str, Any]] = [
        {"started_at": "2026-03-01T10:00:02Z", "completed_at": "2026-03-01T10:00:09Z", "cost": {"usd": 0.25}},
        {"started_at": "2026-03-01T10:00:00Z", "completed_at": "2026-03-01T10:00:03Z"},
    ]
    assert came_to(records) == (9.0, 0.25)


def test_the_row_of_a_way() -> None:
    """By the default policy where there are several; none is an error that names what there is."""
    both = {"way": "local + cloud", "policy": "local-first"}
    planned = {"quote": {"rows": [{"way": "local only", "policy": None}, {**both, "policy": "deadline"}, both]}}
    assert row_of(planned, "local + cloud") == both
    with pytest.raises(StandError, match="no row 'cloud only'"):
        row_of(planned, "cloud only")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: str(scene.name))
def test_the_files_are_sound(scene: Scene, tmp_path: Path) -> None:
    """Every scene's jobs pass the check of a plan, and have texts of every length in both batches."""
    path = tmp_path / "jobs.yaml"
    for speakers, count in ((scene.warm_up, 12 * len(scene.warm_up)), ((scene.row,), 30)):
        path.write_text("".join(rows(speakers, count, "main")))
        settings = Settings.load({"HOME": "/tmp", **scene.environ})  # noqa: S108 - nothing is written
        made = plan([path], settings)
        assert (len(made.jobs), made.problems) == (count, ())
        lengths = {len(row["text"]) for row in yaml.safe_load(path.read_text())["jobs"]}
        assert len(lengths) == 4
