"""Files to a host and back: what arrives is what was sent, and a host that lies writes nothing here."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_watcher.hosts.errors import HostAnswerError, HostLostError, HostRefusedError
from job_watcher.hosts.transfers import Extent, safe_name
from lib.errors import WaitError
from tests.job_watcher.hosts.liar import DIRECTORY, LyingFiles, lying_host

if TYPE_CHECKING:
    from pathlib import Path

    from job_watcher.hosts.connection import Host

LEADS_ELSEWHERE = (
    *("../evil", "a/../../evil", "/etc/passwd", "..", ".", "", "a//b", "a/", "a\\b", "a\0b", "a\nb", "./a"),
    *("x" * 201, "/".join(["x" * 150] * 8), "\x1b[2J", "a/./b"),
)


def everything_in(folder: Path) -> dict[str, bytes]:
    """All files below, with what they hold."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_what_is_sent_arrives_and_comes_back(host: Host, tmp_path: Path) -> None:
    """Folders are made; from bytes and from files; a second time over the first; nothing else is left there."""
    large = os.urandom(3 * 1024 * 1024 + 17)
    (tmp_path / "large").write_bytes(large)
    there, back = tmp_path / "there", tmp_path / "back"
    await host.put(str(there), {"manifest.json": b"{}", "deep/er/large.bin": tmp_path / "large", "empty": b""})
    await host.put(str(there), {"manifest.json": b'{"again": 1}'})
    expected = {"manifest.json": b'{"again": 1}', "deep/er/large.bin": large, "empty": b""}
    assert everything_in(there) == expected
    sizes = await host.get(str(there), back)
    assert everything_in(back) == expected
    assert sizes == {name: len(data) for name, data in expected.items()}


async def test_only_the_named_files_are_fetched(host: Host, tmp_path: Path) -> None:
    """The rest stays there; what stood here under the same name is replaced."""
    await host.put(str(tmp_path / "there"), {"a/b.wav": b"new", "c": b"not asked for"})
    (tmp_path / "back/a").mkdir(parents=True)
    (tmp_path / "back/a/b.wav").write_bytes(b"old")
    assert await host.get(str(tmp_path / "there"), tmp_path / "back", names=["a/b.wav"]) == {"a/b.wav": 3}
    assert everything_in(tmp_path / "back") == {"a/b.wav": b"new"}


async def test_a_folder_there_is_removed(host: Host, tmp_path: Path) -> None:
    """With all that is in it; one that is not there is no error."""
    await host.put(str(tmp_path / "there"), {"a/b": b"x"})
    for _ in range(2):
        await host.remove(str(tmp_path / "there"))
        assert not (tmp_path / "there").exists()


async def test_what_cannot_be_written_there_is_refused(host: Host, tmp_path: Path) -> None:
    """A file stands where a folder must be, as where a disk is full: the host's fault, not the job's."""
    (tmp_path / "there").write_bytes(b"")
    with pytest.raises(HostRefusedError) as told:
        await host.put(str(tmp_path / "there"), {"a": b""})
    assert isinstance(told.value, WaitError)


async def test_a_disk_that_is_full_is_said(host: Host, tmp_path: Path) -> None:
    """Faults row 43: every write to /dev/full fails for want of space."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.part").symlink_to("/dev/full")
    with pytest.raises(HostRefusedError, match="is its disk full"):
        await host.put(str(tmp_path / "there"), {"a": b"x" * 100_000})


async def test_a_file_that_is_not_there_is_said(host: Host, tmp_path: Path) -> None:
    """The worker said that it made it."""
    with pytest.raises(HostAnswerError, match=r"has no file .*/gone\.wav"):
        await host.get(str(tmp_path), tmp_path / "back", names=["gone.wav"])
    assert everything_in(tmp_path / "back") == {}


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
async def test_only_plain_files_are_fetched(host: Host, tmp_path: Path, kind: str) -> None:
    """Faults row 45: a symlink leads to what was not asked for, a fifo never ends."""
    there = tmp_path / "there"
    there.mkdir()
    if kind == "symlink":
        (there / "a").symlink_to("/etc/hostname")
    elif kind == "fifo":
        os.mkfifo(there / "a")
    else:
        (there / "a").mkdir()
    with pytest.raises(HostAnswerError, match="no plain file"):
        await host.get(str(there), tmp_path / "back", names=["a"])
    if kind != "folder":
        with pytest.raises(HostAnswerError, match="neither a file nor a folder"):
            await host.get(str(there), tmp_path / "back")
    assert everything_in(tmp_path / "back") == {}


@pytest.mark.parametrize("name", LEADS_ELSEWHERE)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    """Faults row 45: such names come from the worker's events, so from the host."""
    with pytest.raises(HostAnswerError, match="is refused"):
        safe_name(name, "a host")


async def test_one_bad_name_and_nothing_is_fetched(host: Host, tmp_path: Path) -> None:
    """Not the good one before it either."""
    await host.put(str(tmp_path / "there"), {"good": b"x"})
    with pytest.raises(HostAnswerError, match="is refused"):
        await host.get(str(tmp_path / "there"), tmp_path / "back/deep", names=["good", "../evil"])
    assert not (tmp_path / "back").exists()


@given(st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "a", "", "/"]), max_size=6).map("/".join))
def test_whatever_is_let_by_stays_below(name: str) -> None:
    """Property: joined to a directory and resolved by the rules of paths, it is below that directory."""
    try:
        safe_name(name, "h")
    except HostAnswerError:
        return
    assert os.path.normpath(f"/base/{name}") == f"/base/{name}"
    assert "\0" not in name


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"]])
async def test_a_file_that_is_a_folder_too_is_refused(host: Host, tmp_path: Path, names: list[str]) -> None:
    """Or one that is named twice."""
    with pytest.raises(HostAnswerError, match="twice"):
        await host.get(str(tmp_path), tmp_path / "back", names=names)


async def test_more_than_was_allowed_is_refused_and_nothing_of_it_stays(host: Host, tmp_path: Path) -> None:
    """Too many files, one too large, all together too large: also what had been fetched before is gone."""
    await host.put(str(tmp_path / "there"), {"a": b"x" * 60, "b": b"x" * 60, "c": b""})
    for extent, why in (
        (Extent(files=2), "more than is allowed"),
        (Extent(file_bytes=59), "59 are allowed"),
        (Extent(all_bytes=100), "40 are allowed"),
    ):
        with pytest.raises(HostAnswerError, match=why):
            await host.get(str(tmp_path / "there"), tmp_path / "back", extent=extent)
    with pytest.raises(HostAnswerError, match="names 3 files"):
        await host.get(str(tmp_path / "there"), tmp_path / "back", names=["a", "b", "c"], extent=Extent(files=2))
    assert list((tmp_path / "back").iterdir()) == []


async def test_nothing_is_written_through_a_symlink_here(host: Host, tmp_path: Path) -> None:
    """Somebody made the folder of a file a symlink; what is behind it stays as it is."""
    await host.put(str(tmp_path / "there"), {"a/b": b"x"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "back").mkdir()
    (tmp_path / "back/a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostAnswerError, match="is a symlink"):
        await host.get(str(tmp_path / "there"), tmp_path / "back")
    assert everything_in(tmp_path / "elsewhere") == {}


async def test_a_listing_with_names_that_lead_elsewhere_is_refused(tmp_path: Path) -> None:
    """Faults row 45: a real sshd cannot say such names, a hostile one can."""

    class Lies(LyingFiles):
        """What it lists changes."""

    async with lying_host(tmp_path, Lies) as host:
        for name in (b"../evil", b"a/b", b"/etc/passwd", b"a\nb", b"\xff", b"\\"):
            Lies.names = [b".", b"..", b"good", name]
            with pytest.raises((HostAnswerError, HostRefusedError)):
                await host.get("/there", tmp_path / "back")
    assert not (tmp_path / "evil").exists()
    assert everything_in(tmp_path / "back") == {}


async def test_a_listing_without_end_is_refused(tmp_path: Path) -> None:
    """It is read as far as is allowed and no farther."""
    lies = type("Lies", (LyingFiles,), {"names": (b"%d" % number for number in itertools.count())})
    async with lying_host(tmp_path, lies) as host:
        with pytest.raises(HostAnswerError, match="more than is allowed"):
            await host.get("/there", tmp_path / "back", extent=Extent(files=300))


async def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    """Each folder has a folder in it."""
    lies = type("Lies", (LyingFiles,), {"names": [b"deeper"], "kind": DIRECTORY})
    async with lying_host(tmp_path, lies) as host:
        with pytest.raises(HostAnswerError, match="more than is allowed"):
            await host.get("/there", tmp_path / "back")


@pytest.mark.parametrize("size", [3, None])
async def test_a_file_without_end_is_refused(tmp_path: Path, size: int | None) -> None:
    """It says that it is small, or says nothing, and sends and sends."""
    lies = type("Lies", (LyingFiles,), {"size": size, "content": staticmethod(lambda _offset, size: b"x" * size)})
    async with lying_host(tmp_path, lies) as host:
        with pytest.raises(HostAnswerError, match="sends more than 100000 bytes"):
            await host.get("/there", tmp_path / "back", names=["a"], extent=Extent(file_bytes=100_000))
    assert everything_in(tmp_path / "back") == {}


async def test_a_file_that_is_shorter_than_said_is_as_long_as_it_is(tmp_path: Path) -> None:
    """Whoever fetches it compares what came with what the worker claimed."""
    lies = type("Lies", (LyingFiles,), {"size": 1_000_000})
    async with lying_host(tmp_path, lies) as host:
        assert await host.get("/there", tmp_path / "back", names=["a"]) == {"a": 3}


async def test_a_host_that_takes_too_long_is_lost(tmp_path: Path) -> None:
    """Files that trickle have a deadline too."""
    lies = type("Lies", (LyingFiles,), {"content": staticmethod(lambda offset, _size: b"x" if offset >= 0 else b"")})
    async with lying_host(tmp_path, lies) as host:
        with pytest.raises((HostLostError, HostAnswerError)):
            await host.get("/there", tmp_path / "back", names=["a"], seconds=0.2)
    assert everything_in(tmp_path / "back") == {}
