"""Which backends a watcher is made of: those it was asked for, or a line that says what is missing for one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from job_watcher.backends.registry import make_backends
from lib import wiring
from lib.clock import SystemClock
from lib.errors import SettingsError
from lib.tasks.registry import TaskRegistry, built_in_tasks
from tests.support.running import settings_in

if TYPE_CHECKING:
    from pathlib import Path

KEY = "vast-of-a-test-0123456789"


async def made(tmp_path: Path, *names: str, **more: str) -> list[str]:
    """The names of the backends that are made of these; no server is asked."""
    settings = settings_in(tmp_path, REDIS_URL="redis://127.0.0.1:1/0", **more)
    async with wiring.opened_queue(settings) as queue:
        tasks = TaskRegistry(built_in_tasks())
        return [each.name for each in make_backends(names, tasks, settings, queue, SystemClock())]


async def test_they_come_in_the_order_of_their_cost(tmp_path: Path) -> None:
    """However they were asked for."""
    assert await made(tmp_path, "vast", "metal", SSH_HOSTS="desk2") == ["metal", "vast"]


@pytest.mark.parametrize(
    ("missing", "more", "told"),
    [
        ("asyncssh", {"VAST_API_KEY": KEY}, "'.[vast]'"),
        ("asyncssh", {"SSH_HOSTS": "desk2"}, "'.[ssh]'"),
        ("asyncssh", {}, "'.[vast]'"),
        ("vastai", {"VAST_API_KEY": KEY}, "'.[vast]'"),
    ],
)
async def test_what_renting_needs_is_named_with_its_extra(
    missing: str, more: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation without the extra says what to install, and shows no traceback."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsError, match=f"vast, and {missing} cannot be imported") as caught:
        await made(tmp_path, "metal", "vast", **more)
    assert told in (caught.value.hint or "")


async def test_hosts_of_ones_own_need_no_library_of_the_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are reached by ssh alone."""
    monkeypatch.setitem(sys.modules, "vastai", None)
    assert await made(tmp_path, "vast", SSH_HOSTS="desk2") == ["vast"]
