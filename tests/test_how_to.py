"""The how-to pages that can be followed on one machine are followed, from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import follow

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("write-your-own-task", "work-offline", "when-something-fails", "voices-of-your-own")

NOT_RUN = {
    "./run voice-synth register anna --piper-model en_GB-anna.onnx": "a model of some megabytes that is not ours",
    './run voice-synth register anna --reference-audio anna.wav --reference-text "What she says in it."': (
        "a recording of somebody who exists"
    ),
}
"""Commands that cannot be typed here, and why."""


@pytest.mark.parametrize("name", PAGES)
async def test_page_works_as_written(name: str, tmp_path: Path) -> None:
    """Every command of it, in a fresh checkout."""
    async with fresh_checkout(tmp_path / "checkout") as checkout:
        # As a reader has it who comes here from the tutorial.
        await checkout.type("./run job-runner server start")
        await follow(HOUSE / f"docs/how-to/{name}.md", checkout, not_run=NOT_RUN, answers={})
