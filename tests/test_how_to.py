"""The how-to pages that can be followed on one machine are followed, from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import follow

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("write-your-own-task",)


@pytest.mark.parametrize("name", PAGES)
async def test_page_works_as_written(name: str, tmp_path: Path) -> None:
    """Every command of it, in a fresh checkout."""
    async with fresh_checkout(tmp_path / "checkout") as checkout:
        await follow(HOUSE / f"docs/how-to/{name}.md", checkout, not_run={}, answers={})
