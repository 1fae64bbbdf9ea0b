"""Killed at any step, the store shows whole files only, and the next process finishes the work.

A real process is killed by a failpoint, and a real small disk is filled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib import failpoints
from lib.errors import TemporaryError
from lib.stores.artifacts import LocalArtifacts
from lib.tasks.base import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SIZE = 300_000

PUT_AND_PUBLISH = """
import asyncio, sys
from pathlib import Path
from lib.stores.artifacts import LocalArtifacts
from lib.tasks.base import Output

async def main(base, generation, count, order):
    store = LocalArtifacts(base / "out")
    outputs = [Output(f"take_0{n}.wav", base / f"work-{generation}-{n}", "take") for n in range(1, count + 1)]
    for output in outputs:
        output.path.write_bytes(generation.encode() * 300_000)
    await store.publish("t/b", await store.put(f"j/{generation}", outputs), order=order)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), (ord(sys.argv[2]), 0)))
"""


def run(base: Path, generation: str, takes: int, failpoint: str | None = None) -> int:
    """Put and publish in a process of its own; its exit code."""
    environ = {**os.environ, **({failpoints.VARIABLE: failpoint} if failpoint else {})}
    command = [sys.executable, "-c", PUT_AND_PUBLISH, str(base), generation, str(takes)]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode


def published(base: Path) -> dict[str, bytes]:
    """What a person sees, each file as one letter if it is whole."""
    folder = base / "out/t/b"
    found = {} if not folder.exists() else {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: content for name, content in found.items() if not name.startswith(".")}


@pytest.mark.parametrize(
    "place",
    ["store.rename", "store.rename:2", "publish.rename", "publish.rename:2", "publish.settle"],
)
def test_killed_at_a_step_and_done_again(place: str, tmp_path: Path) -> None:
    """No half file under a final name at the moment of death; the next run ends as if nothing had happened."""
    assert run(tmp_path, "a", 3) == 0
    assert run(tmp_path, "b", 2, place) == -signal.SIGKILL
    seen = published(tmp_path)
    assert set(seen) == {"take_01.wav", "take_02.wav", "take_03.wav"}
    assert all(content in {b"a" * SIZE, b"b" * SIZE} for content in seen.values())
    assert all(len(path.read_bytes()) == SIZE for path in (tmp_path / "out/.store").rglob("take_*"))
    assert run(tmp_path, "b", 2) == 0
    assert published(tmp_path) == {"take_01.wav": b"b" * SIZE, "take_02.wav": b"b" * SIZE}
    assert not list((tmp_path / "out/t").rglob(".tmp-*"))


def test_killed_before_it_settled_then_overtaken(tmp_path: Path) -> None:
    """A publish that died is followed by another generation, not by its own repetition: nothing of it lingers."""
    assert run(tmp_path, "a", 1) == 0
    assert run(tmp_path, "b", 3, "publish.settle") == -signal.SIGKILL
    assert run(tmp_path, "c", 1) == 0
    assert published(tmp_path) == {"take_01.wav": b"c" * SIZE}


@pytest.mark.parametrize("place", ["publish.rename", "publish.settle"])
def test_once_announced_nothing_older_comes_in_between(place: str, tmp_path: Path) -> None:
    """The newer one died half-way: an older one leaves its turn to whoever takes the newer one over."""
    assert run(tmp_path, "b", 2, place) == -signal.SIGKILL
    seen = published(tmp_path)
    assert run(tmp_path, "a", 3) == 0
    assert published(tmp_path) == seen
    assert run(tmp_path, "b", 2) == 0
    assert published(tmp_path) == {"take_01.wav": b"b" * SIZE, "take_02.wav": b"b" * SIZE}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_fails_clearly_and_heals(small_disk: Path, tmp_path: Path) -> None:
    """Full: temporary, with what to do, no half file; with room again the same call succeeds."""
    outputs = []
    for number in (1, 2):
        path = tmp_path / f"take_0{number}.wav"
        path.write_bytes(bytes([number]) * 700_000)
        outputs.append(Output(path.name, path, "take"))
    store = LocalArtifacts(small_disk / "out")
    with pytest.raises(TemporaryError, match="No space left") as caught:
        await store.put("j/1", outputs)
    assert "free some space" in (caught.value.hint or "")
    assert {path.name for path in small_disk.rglob("*") if path.is_file()} == {"take_01.wav"}
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)  # noqa: ASYNC221  nothing else runs
    stored = await store.put("j/1", outputs)
    await store.publish("t", stored)
    assert (small_disk / "out/t/take_02.wav").read_bytes() == outputs[1].path.read_bytes()
