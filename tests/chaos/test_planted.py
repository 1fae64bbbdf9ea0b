"""Bugs that are planted in a copy of the code: each plant fits the code of today, and the quick ones are caught here.

All of them run by `make chaos-planted`; that takes some six minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.machine import planted
from tests.chaos.machine.plants import PLANTS, Change, Plant, RottenPlantError
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("submit-without-idempotency", "key-released-by-former-holder")


def copy_of(plant: Plant, to: Path) -> None:
    """The files that a plant changes."""
    for change in plant.changes:
        place = to / change.file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((ROOT / change.file).read_text())


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_each_plant_fits_the_code_of_today(plant: Plant, tmp_path: Path) -> None:
    """Its text is there exactly once, and afterwards the file differs; the real one is as it was."""
    copy_of(plant, tmp_path)
    plant.sow(tmp_path)
    for change in plant.changes:
        assert (tmp_path / change.file).read_text() != (ROOT / change.file).read_text()
        assert change.old in (ROOT / change.file).read_text()


def test_a_plant_whose_text_is_gone_fails(tmp_path: Path) -> None:
    """The code has changed under it: that is no bug that was caught."""
    place = tmp_path / "file.lua"
    for text in ("nothing of the kind", "here and here"):
        place.write_text(text)
        with pytest.raises(RottenPlantError, match=r"file\.lua has its text [02] times"):
            Plant("rotten", (Change("file.lua", "here", "there"),), (1,)).sow(tmp_path)


def test_each_bug_says_which_promise_it_breaks() -> None:
    """But for the control, which must be found clean."""
    assert [plant.name for plant in PLANTS if not plant.promises] == ["nothing"]
    assert len(planted.names()) == len(set(planted.names())) == 22


@pytest.mark.chaos
@pytest.mark.parametrize("name", QUICK)
async def test_a_planted_bug_is_caught(name: str, tmp_path: Path) -> None:
    """Within one short run, and by a promise that it breaks."""
    plant = next(plant for plant in PLANTS if plant.name == name)
    caught = await planted.grow(plant, tmp_path / "run")
    assert caught.right, caught.line
    assert set(caught.by) <= set(plant.promises)
    assert "caught after" in caught.line
