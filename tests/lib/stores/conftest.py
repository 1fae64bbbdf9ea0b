"""The fixture that the tests of the stores share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lib.stores.workbench import Bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty store on a real disk."""
    return Bench(tmp_path)
