"""What dead watchers have left on a host is deleted; what anybody may still need is not."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from job_watcher.hosts.sweeping import sweep

if TYPE_CHECKING:
    from pathlib import Path

    from job_watcher.hosts.host import Host
    from tests.job_watcher.hosts.sshd import Sshd

QUIET_SECONDS = 600.0
MINE = "job-runner-i00000000000000aa"


def left(home: Path, name: str, *, seconds_ago: float = 2 * QUIET_SECONDS) -> Path:
    """A directory as a watcher leaves one: all in it was touched so long ago."""
    place = home / name / "cafe" / "batch-000001"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text("{}")
    when = time.time() - seconds_ago
    for each in (place / "manifest.json", place, place.parent, home / name):
        os.utime(each, (when, when))
    return home / name


async def test_only_what_nobody_can_need_is_deleted(host: Host, shared_sshd: Sshd) -> None:
    """Old and without a process; not the watcher's own, a young one, one where somebody works, or a stranger's."""
    home = shared_sshd.home
    old = left(home, "job-runner-i0123456789abcdef")
    mine = left(home, MINE)
    young = left(home, "job-runner-i00000000000000bb", seconds_ago=2 * QUIET_SECONDS)
    written = young / "cafe" / "batch-000001" / "manifest.json"
    os.utime(written)
    used = left(home, "job-runner-i00000000000000cc")
    strangers = [left(home, "job-runner-inbox"), left(home, "job-runner-work"), left(home, "photos")]
    (home / "job-runner-i00000000000000dd").symlink_to(strangers[2])
    works = await host.start(["sleep", "600"], cwd=str(used / "cafe"))
    assert await sweep(host, MINE, QUIET_SECONDS) == [old.name]
    await works.kill()
    works.forget()
    assert not old.exists()
    kept = [mine, young, used, *strangers]
    assert all((each / "cafe/batch-000001/manifest.json").exists() for each in kept)
    assert sorted(await sweep(host, MINE, QUIET_SECONDS)) == [used.name]
    assert await sweep(host, "", QUIET_SECONDS) == [mine.name]


async def test_where_nothing_was_left_nothing_is_done(host: Host) -> None:
    """No error of a pattern that meets no file."""
    assert await sweep(host, MINE, 1.0) == []
