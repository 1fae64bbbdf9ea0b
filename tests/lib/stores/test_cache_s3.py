"""The cache in a bucket: copies on the store's side, proven by its checksum or by reading; and a store in trouble."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import PermanentError, TemporaryError
from lib.stores import cache_s3, s3_threads
from lib.stores.cache_s3 import ListedBucket, S3Cache
from tests.lib.stores.caches import FILES, InBucket, made
from tests.lib.stores.s3_bench import PART_BYTES, PREFIX, S3Bench, sha256

if TYPE_CHECKING:
    from lib.stores.cache import Entry
    from lib.stores.s3_client import Held
    from tests.support.buckets import BrokenRoad


async def filled(kept: InBucket) -> Entry:
    """The entry of a job that has made the usual files."""
    await kept.cache.keep(made(), await kept.put("one/1-1", FILES))
    entry = await kept.cache.find(made().key)
    assert entry is not None
    return entry


class KeepsChecksums(ListedBucket):
    """A store that keeps the checksum of every object, also of a copy, as Amazon's does; the one for tests does not."""

    def head(self, key: str) -> Held | None:
        """With the checksum of what stands there."""
        held = super().head(key)
        if held is None:
            return None
        digest = ListedBucket(self.name, self.direct_url).digest(key)
        assert digest is not None
        return replace(held, checksum=base64.b64encode(bytes.fromhex(digest.sha256)).decode())

    direct_url = ""


async def test_no_file_is_read_whose_checksum_the_store_keeps(s3: S3Bench, road: BrokenRoad) -> None:
    """Three requests a file, and no sound passes this machine; changed bytes under our mark are seen all the same."""
    kept = InBucket(s3)
    entry = await filled(kept)
    bucket = KeepsChecksums(s3.name, road.url)
    bucket.direct_url = s3.server.url
    assert await S3Cache(bucket, PREFIX).take(entry, "two/2-2-taken") is not None
    assert sorted(request.split()[0] for request in road.seen) == sorted(["HEAD", "PUT", "HEAD"] * len(FILES))
    kept.write("one/1-1/best.wav", b"tseb" * 1000)
    assert await S3Cache(bucket, PREFIX).take(entry, "three/3-3-taken") is None


async def test_a_file_of_parts_is_read(s3: S3Bench, road: BrokenRoad) -> None:
    """The checksum of an object of parts is none of its bytes; so it is proven by these."""
    content = b"x" * (PART_BYTES + 1)
    kept = InBucket(s3)
    await kept.cache.keep(made(), await kept.put("one/1-1", {"take_01.wav": content}))
    entry = await kept.cache.find(made().key)
    assert entry is not None
    taken = await InBucket(s3, road.url).cache.take(entry, "two/2-2-taken")
    assert taken is not None
    assert taken[0].sha256 == sha256(content)
    assert any(request.startswith("GET") for request in road.seen)


async def test_a_file_too_large_for_one_copy_is_made(s3: S3Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hour of speech is as large."""
    entry = await filled(InBucket(s3))
    monkeypatch.setattr(cache_s3, "LARGEST_COPY_BYTES", 100)
    assert await InBucket(s3).cache.take(entry, "two/2-2-taken") is None


async def test_a_file_that_goes_between_two_requests_is_a_miss(s3: S3Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at, then removed by somebody, then copied: it is not there, and that is no error."""
    kept = InBucket(s3)
    entry = await filled(kept)
    copy = ListedBucket.copy

    def late(self: ListedBucket, source: str, *rest: object) -> bool:
        self.delete(source)
        return copy(self, source, *rest)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(ListedBucket, "copy", late)
    assert await kept.cache.take(entry, "two/2-2-taken") is None
    assert kept.files("two/2-2-taken") == {}


async def test_a_store_that_is_away_is_said_to_be(s3: S3Bench, road: BrokenRoad) -> None:
    """Temporary: whoever asked makes the files."""
    entry = await filled(InBucket(s3))
    road.breaks("HEAD", "one/1-1", "denied", times=100)
    with pytest.raises((TemporaryError, PermanentError)):
        await InBucket(s3, road.url).cache.take(entry, "two/2-2-taken")


async def test_a_stalled_store_has_a_deadline(s3: S3Bench, road: BrokenRoad, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an entry longer than for a synthesis."""
    monkeypatch.setattr(s3_threads, "LAST_WORD_SECONDS", 0.0)
    road.breaks("GET", ".cache", "hold", times=10)
    stalled = S3Cache(ListedBucket(s3.name, road.url), PREFIX, call_seconds=0.2)
    with pytest.raises(TemporaryError, match="did not end within"):
        await stalled.find(made().key)


async def test_a_listing_goes_on_where_it_was_cut(s3: S3Bench) -> None:
    """A store names a thousand objects at a time."""
    for number in range(5):
        s3.server.client.put_object(Bucket=s3.name, Key=f"many/{number}", Body=b"x")
    bucket = _InTwos(s3.name, s3.server.url)
    assert [key for key, _ in bucket.listed("many/")] == [f"many/{number}" for number in range(5)]


class _InTwos(ListedBucket):
    """A bucket whose listings have two keys."""

    def _call(self, operation: str, *rest: Any, **given: Any) -> dict[str, Any] | None:
        more: dict[str, Any] = {"MaxKeys": 2} if operation == "list_objects_v2" else {}
        return super()._call(operation, *rest, **given, **more)  # type: ignore[misc]  # as it was called


async def test_a_listing_of_any_length_is_worked_off_in_portions(s3: S3Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out between two of them; what fails in one is raised when no request is out any more."""
    monkeypatch.setattr(cache_s3, "_PORTION", 2)
    kept = InBucket(s3)
    entry = await filled(kept)
    for number in range(4):
        kept.write(f".cache/{'0' * 64}/{number:064d}.json", b"no entry")
    cleared = await kept.cache.clear()
    assert (cleared.entries, cleared.unreadable, cleared.gone) == (5, 4, 0)
    assert [each.made.key for each in await kept.cache.newest(10)] == [entry.made.key]
    asked: list[str] = []

    def cleared_or_not(_: object, key: str, _before: object) -> str:
        asked.append(key)
        if len(asked) == 1:
            raise TemporaryError("the store is away")
        return "kept"

    kept.write(f".cache/{'0' * 64}/{'0' * 64}.json", b"no entry")
    monkeypatch.setattr(S3Cache, "_cleared", cleared_or_not)
    with pytest.raises(TemporaryError, match="away"):
        await kept.cache.clear()
    assert len(asked) == 2
