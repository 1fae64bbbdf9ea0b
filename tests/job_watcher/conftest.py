"""A stand for each test of the watcher: one queue on the shared server, sound at the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.job_watcher.watching import Stand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.servers import RealServer


@pytest.fixture
async def stand(valkey: RealServer, prefix: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """A queue on the shared server."""
    made = await Stand.over(valkey.url, prefix, tmp_path)
    yield made
    await made.aclose()


@pytest.fixture
async def own_stand(own_valkey: RealServer, tmp_path: Path) -> AsyncIterator[Stand]:
    """A queue on a server of its own, which the test may flush, pause or count the commands of."""
    made = await Stand.over(own_valkey.url, "own", tmp_path)
    made.damaged("its server belongs to the test")
    yield made
    own_valkey.start()
    own_valkey.resume()
    await made.aclose()


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests apart from whatever the person who runs them has set."""
    for name in list(os.environ):
        if name.startswith(("JOBS_", "WATCHER_", "METAL_", "REDIS_")):
            monkeypatch.delenv(name)
