"""The local store keeps what records point to, and publishes it without ever showing half a file."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from lib.errors import PermanentError, TemporaryError
from lib.stores import directories
from lib.stores.artifacts import LocalArtifacts, StoredOutput
from lib.stores.published import MANIFEST
from lib.tasks.base import Output

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lib.stores.workbench import Bench


def path_of(uri: str) -> str:
    """The path that a file URI opens."""
    return unquote(urlsplit(uri).path)


async def test_put_returns_what_the_disk_holds(bench: Bench) -> None:
    """Each stored output names its size and sha256, its URI opens the same bytes, and it is read-only."""
    content = os.urandom(3_000_000)
    (stored,) = await bench.put("ab/cd/7-9", take_01__wav=content)
    assert (stored.name, stored.kind, stored.bytes) == ("take_01.wav", "take", len(content))
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    path = bench.root / ".store/ab/cd/7-9/take_01.wav"
    assert path_of(stored.uri) == str(path)
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert bench.leftovers() == []


async def test_uri_survives_odd_names(bench: Bench) -> None:
    """Spaces, percent signs and other scripts in a job_dir come back from the URI unchanged."""
    stored = await bench.put("a b/100% é#?/x", take_01__wav=b"1")
    await bench.store.publish("tópic/a b#1", stored)
    assert bench.published("tópic/a b#1") == {"take_01.wav": b"1"}
    assert path_of(bench.store.published_uri("tópic/a b#1", "take_01.wav")) == str(
        bench.root / "tópic/a b#1/take_01.wav"
    )


async def test_put_twice_is_once(bench: Bench) -> None:
    """Putting the same bytes again, as after a lost answer, gives the same result and changes nothing."""
    first = await bench.put("j/1", take_01__wav=b"same")
    inode = (bench.root / ".store/j/1/take_01.wav").stat().st_ino
    assert await bench.put("j/1", take_01__wav=b"same") == first
    assert (bench.root / ".store/j/1/take_01.wav").stat().st_ino == inode


async def test_stored_bytes_never_change(bench: Bench) -> None:
    """Other bytes for a name that is stored already are refused, and the first ones stay."""
    await bench.put("j/1", take_01__wav=b"first")
    with pytest.raises(PermanentError, match="stored already"):
        await bench.put("j/1", take_01__wav=b"other")
    assert (bench.root / ".store/j/1/take_01.wav").read_bytes() == b"first"
    assert bench.leftovers() == []


async def test_publish_makes_the_name_equal_the_record(bench: Bench) -> None:
    """After publish the name holds the stored bytes; again, and by another process's store, it still does."""
    stored = await bench.put("j/1", take_01__wav=b"one", best__wav=b"one")
    await bench.store.publish("topic/beat-001", stored)
    before = {path.name: path.stat().st_ino for path in (bench.root / "topic/beat-001").iterdir()}
    await bench.store.publish("topic/beat-001", stored)
    await LocalArtifacts(bench.root).publish("topic/beat-001", stored)
    assert bench.published("topic/beat-001") == {"take_01.wav": b"one", "best.wav": b"one"}
    assert {path.name: path.stat().st_ino for path in (bench.root / "topic/beat-001").iterdir()} == before


async def test_a_new_generation_replaces_and_the_old_record_keeps_its_bytes(bench: Bench) -> None:
    """The published name follows the last publish; what the earlier record points to is untouched."""
    old = await bench.put("j/1", take_01__wav=b"old", take_02__wav=b"old two")
    await bench.store.publish("t", old)
    new = await bench.put("j/2", take_01__wav=b"new")
    await bench.store.publish("t", new)
    assert bench.published("t") == {"take_01.wav": b"new"}
    kept = [(bench.root / ".store/j/1" / item.name).read_bytes() for item in old]
    assert kept == [b"old", b"old two"]


async def test_what_was_committed_earlier_never_replaces_what_was_committed_later(bench: Bench) -> None:
    """A publisher that comes late succeeds and changes nothing; one of the same commit may repeat itself."""
    first = await bench.put("j/1", take_01__wav=b"old", take_02__wav=b"old two")
    second = await bench.put("j/2", take_01__wav=b"new")
    assert await bench.store.publish("t", second, order=(9, 10))
    before = {path.name: path.stat().st_mtime_ns for path in (bench.root / "t").iterdir()}
    assert not await bench.store.publish("t", first, order=(9, 9)), "numbers are compared, not their digits"
    assert not await bench.store.publish("t", first)
    assert {path.name: path.stat().st_mtime_ns for path in (bench.root / "t").iterdir()} == before
    (bench.root / "t/take_01.wav").unlink()
    assert await bench.store.publish("t", second, order=(9, 10))
    assert bench.published("t") == {"take_01.wav": b"new"}
    assert await bench.store.publish("t", first, order=(10, 0))
    assert bench.published("t") == {"take_01.wav": b"old", "take_02.wav": b"old two"}


async def test_a_publisher_that_slept_wakes_too_late(bench: Bench) -> None:
    """Paused in its thread with the first generation in hand until the second was published: the second stays."""
    old = await bench.put("j/1", take_01__wav=b"old")
    new = await bench.put("j/2", take_01__wav=b"new")
    asleep, awake = threading.Event(), threading.Event()

    class Sleeper(LocalArtifacts):
        """Stopped just before it begins to publish, as by SIGSTOP."""

        def _publish(self, *given: Any) -> bool:
            asleep.set()
            assert awake.wait(20)
            return super()._publish(*given)

    late = asyncio.create_task(Sleeper(bench.root).publish("t", old, order=(1, 0)))
    assert await asyncio.to_thread(asleep.wait, 20)
    assert await bench.store.publish("t", new, order=(2, 0))
    awake.set()
    assert not await late
    assert bench.published("t") == {"take_01.wav": b"new"}


async def test_who_lacks_the_files_of_the_newer_leaves_the_older_its_turn(bench: Bench) -> None:
    """Not in this machine's store: nothing is announced, so what was committed before is still published."""
    old = await bench.put("j/1", take_01__wav=b"old")
    new = await bench.put("j/2", take_01__wav=b"new", take_02__wav=b"new two")
    (bench.root / ".store/j/2/take_02.wav").unlink()
    with pytest.raises(TemporaryError, match=r"take_02\.wav of t is not in the store"):
        await bench.store.publish("t", new, order=(2, 0))
    assert await bench.store.publish("t", old, order=(1, 0))
    assert bench.published("t") == {"take_01.wav": b"old"}


async def test_a_manifest_with_an_order_of_somebody_elses_making_stops_nothing(bench: Bench) -> None:
    """Text, fractions or booleans for numbers: it counts as none."""
    stored = await bench.put("j/1", take_01__wav=b"1")
    (bench.root / "t").mkdir()
    for odd in ("9-9", [9.5], [True, True], {"9": 9}, None, ["9"]):
        (bench.root / "t" / MANIFEST).write_text(json.dumps({"files": {}, "order": odd}))
        assert await bench.store.publish("t", stored, order=(1, 0))


async def test_files_of_others_are_left_alone(bench: Bench) -> None:
    """A file that we did not publish, or that was changed since, survives a generation with fewer takes."""
    old = await bench.put("j/1", take_01__wav=b"1", take_02__wav=b"2", take_03__wav=b"3")
    await bench.store.publish("t", old)
    (bench.root / "t/notes.txt").write_bytes(b"mine")
    (bench.root / "t/take_02.wav").unlink()
    (bench.root / "t/take_02.wav").write_bytes(b"edited by hand")
    await bench.store.publish("t", await bench.put("j/2", take_01__wav=b"new"))
    assert bench.published("t") == {
        "take_01.wav": b"new",
        "take_02.wav": b"edited by hand",
        "notes.txt": b"mine",
    }


async def test_a_crash_in_mid_publish_leaves_nothing_behind_in_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish that died after its files appeared, before it settled, is cleaned up by the next generation."""
    big = await bench.put("j/1", take_01__wav=b"1", take_02__wav=b"2")
    with monkeypatch.context() as patched:
        patched.setattr("lib.stores.published.PublishedDirectory.settle", _power_cut)
        with pytest.raises(PowerCutError):
            await bench.store.publish("t", big)
    (bench.root / "t/.tmp-0011223344556677").write_bytes(b"half")
    await bench.store.publish("t", await bench.put("j/2", take_01__wav=b"new"))
    assert bench.published("t") == {"take_01.wav": b"new"}
    assert bench.leftovers() == []


class PowerCutError(Exception):
    """Stands for the process's end."""


def _power_cut(*_: object) -> None:
    raise PowerCutError


async def test_a_damaged_manifest_removes_nothing(bench: Bench) -> None:
    """Without a readable manifest nothing is deleted; hostile names in it reach no file elsewhere."""
    await bench.store.publish("t", await bench.put("j/1", take_01__wav=b"1", take_02__wav=b"2"))
    manifest = bench.root / "t" / MANIFEST
    manifest.chmod(0o644)
    manifest.write_bytes(b"\xff{ nonsense")
    await bench.store.publish("t", await bench.put("j/2", take_01__wav=b"new"))
    assert bench.published("t") == {"take_01.wav": b"new", "take_02.wav": b"2"}

    victim = bench.root / "victim"
    victim.write_bytes(b"v")
    digest = hashlib.sha256(b"v").hexdigest()
    manifest.unlink()
    manifest.write_text(json.dumps({"files": {"../victim": [digest], "take_01.wav": 7}}))
    await bench.store.publish("t", await bench.put("j/3", take_01__wav=b"newer"))
    assert victim.exists()


async def test_racing_publishers_leave_whole_files(bench: Bench) -> None:
    """Eight publishers of four generations at once: every file seen on the way and in the end is whole."""
    generations = []
    for number in range(4):
        content = bytes([number]) * 400_000
        generations.append(await bench.put(f"j/{number}", take_01__wav=content))
    await bench.store.publish("t", generations[0])
    seen: set[bytes] = set()
    done = False

    async def look() -> None:
        while not done:
            seen.add(await asyncio.to_thread((bench.root / "t/take_01.wav").read_bytes))

    looking = asyncio.create_task(look())
    await asyncio.gather(*(LocalArtifacts(bench.root).publish("t", item) for item in generations * 2 * 5))
    done = True
    await looking
    assert seen <= {bytes([number]) * 400_000 for number in range(4)}
    assert bench.leftovers() == []


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x",
        "../x",
        "a/../x",
        "a//b",
        "a/",
        "",
        ".",
        "a/./b",
        "a\\b",
        "a\x00b",
        "a\nb",
        ".store/j/1",
        ".STORE/x",
        ".\u017ftore/x",
        ".sto\u200cre",
    ],
)
async def test_no_output_name_leaves_the_root_or_enters_the_store(bench: Bench, name: str) -> None:
    """Names that would lie outside the published tree are refused before anything is written."""
    stored = await bench.put("j/1", take_01__wav=b"1")
    before = sorted(bench.root.rglob("*"))
    with pytest.raises(PermanentError):
        await bench.store.publish(name, stored)
    with pytest.raises(PermanentError):
        bench.store.published_uri(name, "take_01.wav")
    assert sorted(bench.root.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\\b", "x\x00"])
async def test_an_output_is_one_plain_file_name(bench: Bench, name: str) -> None:
    """A task cannot name an output that lands anywhere but in its own directory."""
    (bench.work / "real").write_bytes(b"1")
    with pytest.raises(PermanentError):
        await bench.store.put("j/1", [Output(name, bench.work / "real", "take")])


async def test_a_symlink_below_the_root_is_never_followed(bench: Bench, tmp_path: Path) -> None:
    """A directory swapped for a symlink is refused; a symlink at the file's own name is replaced, not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    stored = await bench.put("j/1", take_01__wav=b"1")
    (bench.root / "topic").symlink_to(outside, target_is_directory=True)
    with pytest.raises(PermanentError, match="symlink"):
        await bench.store.publish("topic", stored)
    with pytest.raises(PermanentError, match="symlink"):
        await bench.store.publish("topic/beat", stored)
    assert list(outside.iterdir()) == []

    target = outside / "precious"
    target.write_bytes(b"keep")
    (bench.root / "t").mkdir()
    (bench.root / "t/take_01.wav").symlink_to(target)
    await bench.store.publish("t", stored)
    assert bench.published("t") == {"take_01.wav": b"1"}
    assert not (bench.root / "t/take_01.wav").is_symlink()
    assert target.read_bytes() == b"keep"


async def test_a_symlinked_output_of_a_task_is_refused(bench: Bench, tmp_path: Path) -> None:
    """A task cannot make the store copy a file from elsewhere by leaving a symlink in its work directory."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    (bench.work / "take_01.wav").symlink_to(secret)
    with pytest.raises(PermanentError, match="no file"):
        await bench.store.put("j/1", [Output("take_01.wav", bench.work / "take_01.wav", "take")])


async def test_outputs_must_exist_and_be_files(bench: Bench) -> None:
    """A promised output that is missing, or a directory, fails the attempt; nothing half appears."""
    with pytest.raises(PermanentError, match="no file"):
        await bench.store.put("j/1", [Output("gone.wav", bench.work / "gone.wav", "take")])
    os.mkfifo(bench.work / "pipe.wav")
    for odd in (bench.work, bench.work / "pipe.wav"):
        with pytest.raises(PermanentError, match="regular"):
            await bench.store.put("j/1", [Output("odd.wav", odd, "take")])
    assert bench.leftovers() == []


async def test_full_disk_while_storing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space: a `TemporaryError`, no file under the final name, no temporary one; the next try succeeds."""
    outputs = bench.made(take_01__wav=b"x" * 100)

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(TemporaryError, match="No space left"):
            await bench.store.put("j/1", outputs)
    assert list((bench.root / ".store").rglob("*.wav")) == []
    assert bench.leftovers() == []
    assert len(await bench.store.put("j/1", outputs)) == 1


async def test_bytes_that_read_back_differently_are_no_output(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk gives back is compared with what was written; a difference fails the attempt."""
    outputs = bench.made(take_01__wav=b"good")
    rotten = directories.Digest(4, "0" * 64)
    answers = iter([None, rotten])
    monkeypatch.setattr(directories, "digest_of", lambda *_: next(answers))
    with pytest.raises(TemporaryError, match="reads back"):
        await bench.store.put("j/1", outputs)
    assert list((bench.root / ".store").rglob("*.wav")) == []


async def test_tampered_store_is_not_published(bench: Bench) -> None:
    """Stored bytes that differ from the record are refused, and the published name keeps what it had."""
    stored = await bench.put("j/1", take_01__wav=b"true")
    path = bench.root / ".store/j/1/take_01.wav"
    path.unlink()
    path.write_bytes(b"lies")
    with pytest.raises(PermanentError, match="not what its record says"):
        await bench.store.publish("t", stored)
    assert bench.published("t") == {}


async def test_what_this_machine_lacks_is_left_for_another(bench: Bench, tmp_path: Path) -> None:
    """A record made under another root, or whose file is not on this disk, is temporary, never dropped."""
    other = LocalArtifacts(tmp_path / "elsewhere")
    foreign = await other.put("j/1", bench.made(take_01__wav=b"1"))
    with pytest.raises(TemporaryError, match="outside this watcher's output root"):
        await bench.store.publish("t", foreign)
    stored = await bench.put("j/1", take_01__wav=b"1")
    (bench.root / ".store/j/1/take_01.wav").unlink()
    with pytest.raises(TemporaryError, match="not in the store"):
        await bench.store.publish("t", stored)


async def test_a_record_cannot_point_outside_the_store(bench: Bench, tmp_path: Path) -> None:
    """A changed record cannot make a watcher publish a file that it may read but nobody stored."""
    (tmp_path / "secret").write_bytes(b"s")
    digest = hashlib.sha256(b"s").hexdigest()
    root = bench.root.resolve()
    for uri in (f"file://{root}/../secret", f"file://{root}/.store/%2e%2e/%2e%2e/secret", f"file://{root}/t/x"):
        with pytest.raises((PermanentError, TemporaryError)):
            await bench.store.publish("t", [StoredOutput("x.wav", "take", uri, 1, digest)])


async def test_disks_without_hard_links_get_copies(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where linking is not possible the published file is a checked copy."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    stored = await bench.put("j/1", take_01__wav=b"copied")
    await bench.store.publish("t", stored)
    assert bench.published("t") == {"take_01.wav": b"copied"}
    assert bench.leftovers() == []


async def test_a_file_in_the_way_of_a_directory_is_said_plainly(bench: Bench) -> None:
    """`t/take_01.wav/more` after `t` was published: permanent, with the part that is in the way."""
    stored = await bench.put("j/1", take_01__wav=b"1")
    await bench.store.publish("t", stored)
    with pytest.raises(PermanentError, match=r"take_01\.wav"):
        await bench.store.publish("t/take_01.wav/more", stored)
