"""A reaper that stays outlives a moment without its server; one that comes once does not wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.commands import reap
from lib.errors import UnreachableError
from tests.support.running import settings_in
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from lib.renting.ending import Ended
    from lib.settings import Settings


def of(tmp_path: Path, url: str) -> Settings:
    """A market that asks nobody."""
    return settings_in(tmp_path, REDIS_URL=url, SSH_HOSTS="desk2")


async def test_it_goes_on_when_the_server_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what was in the way, and looks again."""
    monkeypatch.setattr(reap, "EVERY_SECONDS", 0.05)
    looks: list[Ended] = []
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), level="WARNING", format="{message}")
    with ValkeyServer(tmp_path / "valkey") as server:
        staying = asyncio.create_task(reap._reap(of(tmp_path, server.url), looks.append, once=False))
        try:
            await wait_until(lambda: looks)
            await asyncio.to_thread(server.stop)
            await wait_until(lambda: said, 30)
            before = len(looks)
            await asyncio.to_thread(server.start)
            await wait_until(lambda: len(looks) > before, 30)
            assert not staying.done()
            assert "does not answer" in said[0]
        finally:
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)
            logger.remove(sink)


async def test_where_there_is_no_server_at_all_it_says_so(tmp_path: Path) -> None:
    """Whoever has just started it is there to read it."""
    for once in (True, False):
        with pytest.raises(UnreachableError):
            await reap._reap(of(tmp_path, "redis://127.0.0.1:1/0"), lambda _: None, once=once)
