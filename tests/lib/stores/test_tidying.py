"""What a dead process left half stored on a disk is removed; what a living one is writing never is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib import failpoints
from lib.stores import artifacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lib.stores.workbench import Bench

ROOT = Path(__file__).parents[3]

STORE = """
import asyncio, os, signal, sys
from pathlib import Path
from lib.stores import directories
from lib.stores.artifacts import LocalArtifacts
from lib.tasks.base import Output

work, root, sleep = Path(sys.argv[1]), Path(sys.argv[2]), len(sys.argv) > 3
if sleep:
    hold = directories._hold
    def hold_and_sleep(opened):
        hold(opened)
        print("held", flush=True)
        sys.stdin.read()
    directories._hold = hold_and_sleep
(work / "take_01.wav").write_bytes(b"x" * 1000)
asyncio.run(LocalArtifacts(root).put("j/1-1", [Output("take_01.wav", work / "take_01.wav", "take")]))
"""


def aged(bench: Bench) -> list[Path]:
    """What lies in the store's intake, made older than any upload."""
    found = list((bench.root / ".store/.incoming").iterdir())
    long_ago = time.time() - 2 * artifacts.ABANDONED_SECONDS
    for path in found:
        os.utime(path, (long_ago, long_ago))
    return found


async def test_what_a_killed_process_left_goes_when_it_is_old(bench: Bench) -> None:
    """In one place for all jobs, so that the look is cheap; a young one is left alone for now."""
    environ = {**os.environ, failpoints.VARIABLE: "store.rename"}
    command = [sys.executable, "-c", STORE, str(bench.work), str(bench.root)]
    killed = subprocess.run(command, cwd=ROOT, env=environ, check=False)  # noqa: ASYNC221  nothing else runs
    assert killed.returncode == -signal.SIGKILL
    assert [path.parent.name for path in bench.root.rglob(".tmp-*")] == [".incoming"]
    assert await bench.store.tidy() == 0
    assert len(aged(bench)) == 1
    assert await bench.store.tidy() == 1
    assert bench.leftovers() == []
    assert await bench.store.tidy() == 0


async def test_what_a_living_process_holds_is_left_alone_whatever_its_age(bench: Bench) -> None:
    """It slept for hours with the file open: awake, it stores the file as if nothing had been."""
    command = [sys.executable, "-c", STORE, str(bench.work), str(bench.root), "sleep"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:  # noqa: ASYNC220
        assert living.stdin is not None
        assert living.stdout is not None
        assert living.stdout.readline() == b"held\n"
        assert len(aged(bench)) == 1
        assert await bench.store.tidy() == 0
        living.stdin.close()
        assert living.wait(20) == 0
    assert (bench.root / ".store/j/1-1/take_01.wav").read_bytes() == b"x" * 1000
    assert bench.leftovers() == []


@pytest.mark.parametrize("name", ["notes.txt", ".tmp-link", ".tmp-directory", ".tmp-pipe"])
async def test_what_is_not_ours_stays(bench: Bench, name: str) -> None:
    """Other names, and things that are no files, are nobody's leftovers."""
    await bench.put("j/1-1", take_01__wav=b"1")
    place = bench.root / ".store/.incoming" / name
    made: dict[str, Callable[[], object]] = {
        "notes.txt": lambda: place.write_text("x"),
        ".tmp-link": lambda: place.symlink_to(bench.work / "take_01.wav"),
        ".tmp-directory": place.mkdir,
        ".tmp-pipe": lambda: os.mkfifo(place),
    }
    made[name]()
    aged(bench)
    assert await bench.store.tidy() == 0
    assert place.is_symlink() or place.exists()
    assert (bench.work / "take_01.wav").exists()


async def test_a_root_that_is_not_there_yet_is_tidy(bench: Bench) -> None:
    """A watcher that has stored nothing."""
    assert await bench.store.tidy() == 0
    assert not bench.root.exists()
    await bench.store.check()
