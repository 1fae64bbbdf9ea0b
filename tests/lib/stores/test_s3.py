"""The store in a bucket keeps what records point to, and publishes it in the order of commits."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from lib.errors import PermanentError, SettingsError, TemporaryError
from lib.stores.artifacts import StoredOutput
from lib.stores.s3_client import Bucket
from lib.tasks.base import Output
from tests.lib.stores.s3_bench import PART_BYTES, PREFIX, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lib.stores.s3_bench import S3Bench


async def test_put_returns_what_the_bucket_holds(s3: S3Bench) -> None:
    """Small in one request, large in parts: size, sha256 and URI of each are those of the bytes that stand there."""
    files = {"take_01.wav": os.urandom(3_000), "take_02.wav": os.urandom(2 * PART_BYTES + 7), "empty.json": b""}
    stored = await s3.put("ab/7-9", files)
    assert [(each.name, each.bytes, each.sha256) for each in stored] == [
        (name, len(content), sha256(content)) for name, content in files.items()
    ]
    assert {each.uri for each in stored} == {f"s3://{s3.name}/{PREFIX}/.store/ab/7-9/{name}" for name in files}
    assert s3.stored() == {f"ab/7-9/{name}": content for name, content in files.items()}
    assert s3.half_sent() == []


async def test_put_twice_is_once(s3: S3Bench) -> None:
    """The same bytes again, as after a lost answer, give the same result and write nothing, in parts too."""
    files = {"take_01.wav": b"same", "take_02.wav": b"x" * (PART_BYTES + 1)}
    first = await s3.put("j/1-1", files)
    before = _versions(s3)
    assert await s3.put("j/1-1", files) == first
    assert _versions(s3) == before
    assert s3.half_sent() == []


def _versions(s3: S3Bench) -> dict[str, object]:
    found = s3.server.client.list_objects_v2(Bucket=s3.name)["Contents"]
    return {each["Key"]: each["LastModified"] for each in found}


@pytest.mark.parametrize("size", [5, PART_BYTES + 1], ids=["whole", "parts"])
async def test_stored_bytes_never_change(s3: S3Bench, size: int) -> None:
    """A late writer with other bytes is refused for good, and what a record names stays as it is."""
    await s3.put("j/1-1", {"take_01.wav": b"a" * size})
    with pytest.raises(PermanentError, match="stored already with other bytes"):
        await s3.put("j/1-1", {"take_01.wav": b"b" * size})
    assert s3.stored() == {"j/1-1/take_01.wav": b"a" * size}
    assert s3.half_sent() == []


@pytest.mark.parametrize("size", [100_000, PART_BYTES + 1], ids=["whole", "parts"])
async def test_of_two_racing_writers_of_one_key_one_wins(s3: S3Bench, size: int) -> None:
    """Both write at once: the one whose bytes stand there succeeds, the other is refused, nothing is mixed."""
    benches = []
    for letter in "ab":
        bench = s3.beside()
        bench.work = s3.work / letter
        bench.work.mkdir()
        benches.append((bench, letter.encode() * size))
    racing = [bench.put("j/1-1", {"take_01.wav": content}) for bench, content in benches]
    answers = await asyncio.gather(*racing, return_exceptions=True)
    (standing,) = s3.stored().values()
    for (_, content), answer in zip(benches, answers, strict=True):
        if content == standing:
            assert not isinstance(answer, BaseException)
            assert answer[0].sha256 == sha256(content)
        else:
            assert isinstance(answer, PermanentError)
    assert s3.half_sent() == []


async def test_publish_makes_the_name_equal_the_record(s3: S3Bench) -> None:
    """After publish the name holds the stored bytes; again, and by another process's store, it still does."""
    stored = await s3.put("j/1-1", {"take_01.wav": b"one", "best.wav": b"one"})
    assert await s3.store.publish("topic/beat 001", stored, order=(1, 0))
    before = _versions(s3)
    assert await s3.store.publish("topic/beat 001", stored, order=(1, 0))
    assert await s3.beside().store.publish("topic/beat 001", stored, order=(1, 0))
    assert s3.published("topic/beat 001") == {"take_01.wav": b"one", "best.wav": b"one"}
    assert _versions(s3) == before
    uri = s3.store.published_uri("topic/beat 001", "best.wav")
    assert uri == f"s3://{s3.name}/{PREFIX}/topic/beat 001/best.wav"


async def test_odd_names_arrive_unchanged(s3: S3Bench) -> None:
    """Spaces, percent signs, hashes and other scripts, in names and directories."""
    stored = await s3.put("a b/1-1", {"100% é#?+.wav": b"1"})
    await s3.store.publish("tópic/a b#1", stored, order=(1, 0))
    assert s3.published("tópic/a b#1") == {"100% é#?+.wav": b"1"}


async def test_a_new_generation_replaces_and_the_old_record_keeps_its_bytes(s3: S3Bench) -> None:
    """The name follows the last commit, without what only the earlier one had; the store keeps both."""
    old = await s3.put("j/1-1", {"take_01.wav": b"old", "take_02.wav": b"old two"})
    new = await s3.put("j/2-2", {"take_01.wav": b"new"})
    assert await s3.store.publish("t", old, order=(1, 0))
    assert await s3.store.publish("t", new, order=(2, 0))
    assert s3.published("t") == {"take_01.wav": b"new"}
    assert set(s3.stored()) == {"j/1-1/take_01.wav", "j/1-1/take_02.wav", "j/2-2/take_01.wav"}


async def test_what_was_committed_earlier_never_replaces_what_was_committed_later(s3: S3Bench) -> None:
    """A publisher that comes late succeeds and changes nothing; orders are numbers, not their digits."""
    first = await s3.put("j/1-1", {"take_01.wav": b"old", "take_02.wav": b"old two"})
    second = await s3.put("j/2-2", {"take_01.wav": b"new"})
    assert await s3.store.publish("t", second, order=(9, 10))
    before = _versions(s3)
    assert not await s3.store.publish("t", first, order=(9, 9))
    assert _versions(s3) == before
    assert await s3.store.publish("t", first, order=(10, 0))
    assert s3.published("t") == {"take_01.wav": b"old", "take_02.wav": b"old two"}


async def test_files_of_others_are_left_alone(s3: S3Bench) -> None:
    """What we did not publish, or what was changed since, survives a generation with fewer takes."""
    old = await s3.put("j/1-1", {"take_01.wav": b"1", "take_02.wav": b"2", "take_03.wav": b"3"})
    await s3.store.publish("t", old, order=(1, 0))
    for name, content in {"notes.txt": b"mine", "take_02.wav": b"edited by hand"}.items():
        s3.server.client.put_object(Bucket=s3.name, Key=f"{PREFIX}/t/{name}", Body=content)
    await s3.store.publish("t", await s3.put("j/2-2", {"take_01.wav": b"new"}), order=(2, 0))
    assert s3.published("t") == {"take_01.wav": b"new", "take_02.wav": b"edited by hand", "notes.txt": b"mine"}


async def test_a_damaged_manifest_removes_nothing(s3: S3Bench) -> None:
    """Nonsense in it counts as no manifest, and names and places in it are not taken on trust."""
    await s3.store.publish("t", await s3.put("j/1-1", {"a.wav": b"1", "b.wav": b"2"}), order=(1, 0))
    stored = await s3.put("j/2-2", {"a.wav": b"new"})
    climbing = b'{"order": [9, 9], "shown": {"../x": {"key": "../etc", "bytes": 1, "sha256": "a"}}, "files": {}}'
    alien = b'{"order": [9, 9], "shown": {"x": {"key": "secret", "bytes": 1, "sha256": "a"}}, "files": {}}'
    for number, content in enumerate((b"\xff{ nonsense", b"[]", b'{"order": "9-9"}', climbing, alien), start=1):
        s3.server.client.put_object(Bucket=s3.name, Key=f"{PREFIX}/t/.published.json", Body=content)
        assert await s3.store.publish("t", stored, order=(number, 0))
        assert s3.published("t") == {"a.wav": b"new", "b.wav": b"2"}


async def test_what_is_not_in_the_store_is_not_published(s3: S3Bench) -> None:
    """A place outside our prefix, another bucket or a local file: left to whom it belongs. Gone or changed: said."""
    (stored,) = await s3.put("j/1-1", {"a.wav": b"1"})
    for uri in ("file:///etc/passwd", f"s3://other/{PREFIX}/.store/j/1-1/a.wav", f"s3://{s3.name}/secret"):
        alien = StoredOutput("a.wav", "take", uri, stored.bytes, stored.sha256)
        with pytest.raises(TemporaryError, match="outside this watcher's"):
            await s3.store.publish("t", [alien])
    climbing = StoredOutput("a.wav", "take", stored.uri.replace("j/1-1", "../t"), stored.bytes, stored.sha256)
    with pytest.raises(PermanentError):
        await s3.store.publish("t", [climbing])
    with pytest.raises(PermanentError, match="not what its record says"):
        await s3.store.publish("t", [StoredOutput("a.wav", "take", stored.uri, 1, sha256(b"2"))])
    with pytest.raises(PermanentError, match="is gone"):
        await s3.store.publish("t", [StoredOutput("b.wav", "take", f"{stored.uri}x", 1, stored.sha256)])
    assert s3.published("t") == {}


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a//b", "a/", "", ".store/j", "a\x00b", "b" * 513])
async def test_no_output_name_leaves_the_prefix_or_enters_the_store(s3: S3Bench, name: str) -> None:
    """The rule of every store."""
    stored = await s3.put("j/1-1", {"a.wav": b"1"})
    with pytest.raises(PermanentError):
        await s3.store.publish(name, stored)
    with pytest.raises(PermanentError):
        s3.store.published_uri(name, "a.wav")


async def test_outputs_must_exist_and_be_files(s3: S3Bench, tmp_path: Path) -> None:
    """A promised output that is missing, a pipe, a symlink or oddly named fails the attempt at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    for path in ("gone", "pipe", "link"):
        with pytest.raises(PermanentError):
            await s3.store.put("j/1-1", [Output("a.wav", tmp_path / path, "take")])
    with pytest.raises(PermanentError, match="an output is named"):
        await s3.store.put("j/1-1", [Output("../a.wav", tmp_path / "gone", "take")])
    assert s3.stored() == {}


async def test_a_name_that_no_object_can_have_is_said_before_anything_is_sent(s3: S3Bench) -> None:
    """The whole key, the prefix included, is what counts."""
    s3.store._store = "p" * 900 + "/"
    with pytest.raises(PermanentError, match="at most 1024"):
        await s3.put("j/1-1", {"a" * 200 + ".wav": b"1"})


async def test_a_large_file_is_published_in_parts(s3: S3Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store copies only so much in one request."""
    content = os.urandom(3 * PART_BYTES)
    stored = await s3.put("j/1-1", {"a.wav": content})
    monkeypatch.setattr("lib.stores.s3.LARGEST_COPY_BYTES", 2 * PART_BYTES * 5 // 2)
    await s3.store.publish("t", stored, order=(1, 0))
    assert s3.published("t") == {"a.wav": content}
    assert s3.half_sent() == []
    before = _versions(s3)
    assert await s3.store.publish("t", stored, order=(1, 0))
    assert _versions(s3) == before


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 is an extra."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SettingsError, match="boto3 is not installed") as caught:
        Bucket("a-bucket").head("key")
    assert ".venv/bin/pip install --constraint constraints.txt --editable '.[s3]'" in str(caught.value.hint)
