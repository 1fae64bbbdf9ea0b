"""Faults row 27: a disk that is full while a real watcher works on it, by a small disk that is really full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"root may not mount a small disk here: {mounted.stderr}")
        pytest.skip(f"root may not mount a small disk here: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def filled(disk: Path) -> Path:
    """A file that leaves no room."""
    filler = disk / "filler"
    for size in (65536, 4096):
        with filler.open("ab", buffering=0) as target, contextlib.suppress(OSError):
            while target.write(b"x" * size) == size:
                pass
    return filler


def files_of(root: Path) -> list[str]:
    """The names of all files below a directory but the watcher's own lock."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


async def _come_due(yard: Yard) -> None:
    """Let the pause before the next attempt, half a minute, be over."""
    due = yard.queue.keys.of("due")
    members: Any = await yard.queue.client.zrange(due, 0, -1)
    for member in members:
        await yard.queue.client.zadd(due, {member: 1}, xx=True)


@pytest.mark.parametrize("variable", ["WATCHER_OUTPUT_ROOT", "WATCHER_WORK_DIR"])
async def test_a_full_disk_delays_a_job_and_leaves_no_half_file(yard: Yard, small_disk: Path, variable: str) -> None:
    """Temporary and said clearly; nothing stands under a final name; with room again another attempt succeeds."""
    place = small_disk / "place"
    place.mkdir()
    filler = filled(small_disk)
    more: dict[str, Any] = {variable: str(place)}
    first = yard.watcher("first", slots=1, **more)
    first.start()
    await yard.opened(first)
    job = {"output": "sound", "repeat": 40_000}
    await yard.submit(yard.gated("job", output_name="out/job", payload=job, max_attempts=2))

    async def delayed() -> bool:
        row = await yard.row("job")
        return row is not None and row.state == "D"

    await wait_until(delayed, 60, what="a delayed job")
    assert await yard.records() == {}
    if variable == "WATCHER_OUTPUT_ROOT":
        assert files_of(place) == [], "no half file, not even a temporary one"
    assert "No space left" in first.log
    assert "free some space" in first.log
    filler.unlink()
    await _come_due(yard)
    record = await yard.record("job")
    assert (record["status"], record["attempt"]) == ("done", 2)
    root = place if variable == "WATCHER_OUTPUT_ROOT" else first.state_dir / "output"
    published = root / "out/job/best.wav"
    await wait_until(published.exists, 20, what=str(published))
    assert published.read_text() == "sound" * 40_000
