"""The cache on a disk: links where there can be links, nothing followed out of the root, and death at any step."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lib import failpoints
from lib.errors import PermanentError, TemporaryError
from tests.lib.stores.caches import FILES, OnDisk, made, place_of
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from lib.stores.cache import Entry
    from tests.lib.stores.workbench import Bench


@pytest.fixture
def kept(bench: Bench) -> OnDisk:
    """An empty store."""
    return OnDisk(bench)


async def filled(kept: OnDisk) -> Entry:
    """The entry of a job that has made the usual files."""
    await kept.cache.keep(made(), await kept.put("one/1-1", FILES))
    entry = await kept.cache.find(made().key)
    assert entry is not None
    return entry


async def test_what_is_taken_takes_no_room(kept: OnDisk, bench: Bench) -> None:
    """It is the same file under a second name, and as read-only as before."""
    await kept.cache.take(await filled(kept), "two/2-2-taken")
    for name in FILES:
        first, second = (bench.root / ".store" / place / name for place in ("one/1-1", "two/2-2-taken"))
        assert first.samefile(second)
        assert second.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
async def test_where_no_link_can_be_a_copy_is_made(
    kept: OnDisk, bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Another disk below the root, a file system without links, or one that has too many of this file."""
    entry = await filled(kept)
    monkeypatch.setattr(os, "link", _refuses(code))
    assert await kept.cache.take(entry, "two/2-2-taken") is not None
    assert kept.files("two/2-2-taken") == FILES
    assert not (bench.root / ".store/one/1-1/best.wav").samefile(bench.root / ".store/two/2-2-taken/best.wav")
    assert bench.leftovers() == []


async def test_a_copy_of_changed_bytes_is_a_miss(kept: OnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a link of them is."""
    entry = await filled(kept)
    kept.write("one/1-1/best.wav", b"tseb" * 1000)
    monkeypatch.setattr(os, "link", _refuses(errno.EXDEV))
    assert await kept.cache.take(entry, "two/2-2-taken") is None
    assert kept.files("two/2-2-taken") == {}


async def test_a_disk_that_fails_is_told_as_one(kept: OnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary, so that whoever asked makes the files itself."""
    entry = await filled(kept)
    monkeypatch.setattr(os, "link", _refuses(errno.EIO))
    with pytest.raises(TemporaryError, match="taking outputs"):
        await kept.cache.take(entry, "two/2-2-taken")


async def test_no_symlink_is_followed(kept: OnDisk, bench: Bench, tmp_path: Path) -> None:
    """Neither for a file that is to be taken, nor for its directory, nor for an entry."""
    entry = await filled(kept)
    secret = tmp_path / "secret"
    secret.write_bytes(FILES["best.wav"])
    best = bench.root / ".store/one/1-1/best.wav"
    best.unlink()
    best.symlink_to(secret)
    assert await kept.cache.take(entry, "two/2-2-taken") is None
    (bench.root / ".store/one/1-1").rename(tmp_path / "moved")
    (bench.root / ".store/one/1-1").symlink_to(tmp_path / "moved")
    assert await kept.cache.take(entry, "two/2-2-taken") is None
    own = bench.root / ".store" / place_of(made())
    own.rename(tmp_path / "entry.json")
    own.symlink_to(tmp_path / "entry.json")
    assert await kept.cache.find(made().key) is None


async def test_a_pipe_in_the_place_of_an_entry_holds_nobody_up(kept: OnDisk, bench: Bench) -> None:
    """It is no entry, and is dropped as none."""
    place = bench.root / ".store" / place_of(made())
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    assert await kept.cache.find(made().key) is None
    assert (await kept.cache.clear()).unreadable == 1


async def test_a_name_that_cannot_be_is_refused(kept: OnDisk) -> None:
    """Of the taker: its directory stays in the store."""
    entry = await filled(kept)
    for job_dir in ("../two", "/two", "two//2"):
        with pytest.raises(PermanentError):
            await kept.cache.take(entry, job_dir)


async def test_a_root_that_is_none_is_an_empty_cache(kept: OnDisk, bench: Bench) -> None:
    """Before the first job, and where a file stands in its place."""
    assert await kept.cache.find(made().key) is None
    bench.root.write_text("a file where a directory belongs")
    assert await kept.cache.find(made().key) is None
    assert await kept.cache.newest(9) == []
    assert (await kept.cache.clear()).entries == 0


async def test_clearing_goes_on_past_what_no_cache_has_made(kept: OnDisk, bench: Bench) -> None:
    """A directory in the place of an entry, and a symlink in that of a directory: left as they are, and not counted."""
    await filled(kept)
    (folder,) = (bench.root / ".store/.cache").iterdir()
    (folder / f"{'0' * 64}.json").mkdir()
    (folder.parent / ("e1" * 32)).symlink_to(folder)
    (folder / f"{'f' * 64}.json").write_text("{")
    cleared = await kept.cache.clear()
    assert (cleared.entries, cleared.unreadable) == (2, 1)
    assert await kept.cache.find(made().key) is not None


async def test_directories_of_entries_go_when_they_are_empty(kept: OnDisk, bench: Bench) -> None:
    """So that a cleared cache is a small one."""
    await filled(kept)
    kept.remove("one")
    assert (await kept.cache.clear()).gone == 1
    assert list((bench.root / ".store/.cache").iterdir()) == []


PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.lib.stores.caches import FILES, OnDisk, made
from tests.lib.stores.workbench import Bench

async def main():
    base = Path(sys.argv[1]) / sys.argv[2]
    base.mkdir(exist_ok=True)
    bench = Bench(base)
    bench.__dict__.update(root=Path(sys.argv[1]) / "out")
    from lib.stores.artifacts import LocalArtifacts
    bench.store = LocalArtifacts(bench.root)
    kept = OnDisk(bench)
    entry = await kept.cache.find(made().key)
    if entry is not None and await kept.cache.take(entry, "two/2-2-taken") is not None:
        print("taken")
        return
    await kept.cache.keep(made(), await kept.put("one/1-1", FILES))
    print("made")

asyncio.run(main())
"""


@pytest.mark.parametrize(("place", "then"), [("cache.keep", ["made", "taken"]), ("cache.link:3", ["taken"])])
def test_killed_at_a_step_and_done_again(tmp_path: Path, place: str, then: list[str]) -> None:
    """No half entry and no half set of files: the next one makes them, or takes them whole."""
    first = ["made"] if place.startswith("cache.link") else []
    assert [_run(tmp_path, f"first-{number}") for number, _ in enumerate(first)] == first
    assert _run(tmp_path, "killed", failpoint=place) == str(-signal.SIGKILL)
    assert [_run(tmp_path, f"then-{number}") for number, _ in enumerate(then)] == then
    found = tmp_path / "out/.store/two/2-2-taken"
    assert {path.name: path.read_bytes() for path in found.iterdir()} == FILES


def _run(base: Path, name: str, *, failpoint: str = "") -> str:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), failpoints.VARIABLE: failpoint}
    words = [sys.executable, "-c", PROGRAM, str(base), name]
    done = subprocess.run(words, env=environ, check=False, capture_output=True, text=True)
    return done.stdout.strip() or str(done.returncode)


def _refuses(code: int) -> Any:
    def link(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return link
