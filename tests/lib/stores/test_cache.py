"""What is made already is found, proven and given away, on a disk and in a bucket, whatever became of the files."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import PermanentError
from lib.stores.cache import Cleared, Entry, read_entry
from tests.lib.stores.caches import FILES, NOON, InBucket, Kept, OnDisk, made, place_of
from tests.lib.stores.s3_bench import sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.stores.artifacts import StoredOutput


ON_DISK = pytest.mark.parametrize("kept", ["disk"], indirect=True)
"""What both kinds do alike, for the seconds that a bucket takes."""


@pytest.fixture(params=["disk", "bucket"])
def kept(request: pytest.FixtureRequest) -> Kept:
    """A store of each kind."""
    return (
        OnDisk(request.getfixturevalue("bench")) if request.param == "disk" else InBucket(request.getfixturevalue("s3"))
    )


async def filled(kept: Kept, job_dir: str = "one/1-1", **files: bytes) -> Entry:
    """The entry of a job that has made these files, or the usual ones."""
    await kept.cache.keep(made(), await kept.put(job_dir, files or FILES))
    entry = await kept.cache.find(made().key)
    assert entry is not None
    return entry


def said(stored: list[StoredOutput] | None) -> dict[str, tuple[int, str]]:
    """Size and digest by name."""
    assert stored is not None
    return {each.name: (each.bytes, each.sha256) for each in stored}


async def test_what_was_kept_is_found_and_taken(kept: Kept) -> None:
    """Under a name of the taker's own, with sizes and digests as of the first, in the same order and kind."""
    entry = await filled(kept)
    assert entry.made == made()
    taken = await kept.cache.take(entry, "two/2-2-taken")
    assert said(taken) == {name: (len(content), sha256(content)) for name, content in FILES.items()}
    assert kept.files("two/2-2-taken") == FILES
    assert taken is not None
    assert [each.name for each in taken] == list(FILES)
    assert all(each.uri.endswith(f"/.store/two/2-2-taken/{each.name}") for each in taken)


@ON_DISK
async def test_what_was_taken_can_be_published_like_any_output(kept: Kept) -> None:
    """A record of it is as good as that of a job that was made."""
    taken = await kept.cache.take(await filled(kept), "two/2-2-taken")
    assert taken is not None
    assert await kept.store.publish("show/two", taken)


async def test_no_later_delete_breaks_what_was_taken(kept: Kept) -> None:
    """The files of the job that made them are removed: those that were given away stay."""
    taken = await kept.cache.take(await filled(kept), "two/2-2-taken")
    kept.remove("one")
    assert kept.files("two/2-2-taken") == FILES
    assert taken is not None
    assert await kept.store.publish("show/two", taken)


@ON_DISK
async def test_to_take_twice_is_to_take_once(kept: Kept) -> None:
    """A step that is repeated after its reply was lost finds its own files."""
    entry = await filled(kept)
    assert said(await kept.cache.take(entry, "two/2-2-taken")) == said(await kept.cache.take(entry, "two/2-2-taken"))


@ON_DISK
async def test_nothing_is_found_of_another_key(kept: Kept) -> None:
    """Neither in an empty store nor beside another content or another model."""
    assert await kept.cache.find(made().key) is None
    await filled(kept)
    for other in (made(content=1), made(version="2"), made(seed=1)):
        assert await kept.cache.find(other.key) is None


@pytest.mark.parametrize("name", ["take_01.wav", "takes.meta.json"])
async def test_a_file_that_is_gone_is_a_miss(kept: Kept, name: str) -> None:
    """Nothing is given away then, not even what is there; and the taker's directory holds nothing of it."""
    entry = await filled(kept)
    kept.remove(f"one/1-1/{name}")
    assert await kept.cache.take(entry, "two/2-2-taken") is None
    assert kept.files("two/2-2-taken") == {}


@ON_DISK
async def test_a_directory_that_is_gone_is_a_miss(kept: Kept) -> None:
    """As when a person has cleaned up."""
    entry = await filled(kept)
    kept.remove("one")
    assert await kept.cache.take(entry, "two/2-2-taken") is None


@pytest.mark.parametrize("content", [b"", b"eno" * 1000, b"one" * 999])
async def test_a_file_that_was_changed_is_a_miss(kept: Kept, content: bytes) -> None:
    """Emptied, of the same size with other bytes, or cut off: no byte of it comes under a record."""
    entry = await filled(kept)
    kept.write("one/1-1/take_01.wav", content)
    assert await kept.cache.take(entry, "two/2-2-taken") is None
    assert kept.files("two/2-2-taken") == {}


@ON_DISK
async def test_what_is_made_again_takes_the_place_of_what_is_gone(kept: Kept) -> None:
    """The last one to be made is found; so a miss mends itself."""
    await filled(kept)
    kept.remove("one")
    again = replace(made(2, hours=1), why="gone")
    await kept.cache.keep(again, await kept.put("two/2-2", FILES))
    entry = await kept.cache.find(again.key)
    assert entry is not None
    assert (entry.made.request_id, entry.made.why) == ("job-2", "gone")
    assert await kept.cache.take(entry, "three/3-3-taken") is not None


async def test_two_that_make_the_same_at_once_agree(kept: Kept) -> None:
    """Two watchers: whichever entry stands in the end, it is whole and its files are there."""
    stored = [await kept.put(f"{name}/1-1", FILES) for name in ("one", "two", "three")]
    await asyncio.gather(*(kept.cache.keep(made(number), each) for number, each in enumerate(stored)))
    entry = await kept.cache.find(made().key)
    assert entry is not None
    takes = await asyncio.gather(*(kept.cache.take(entry, f"taker-{number}/1-1-taken") for number in range(4)))
    assert all(take is not None for take in takes)


async def test_what_shares_a_content_is_listed_newest_first(kept: Kept) -> None:
    """By another model, voice or seed; nothing of another content."""
    stored = await kept.put("one/1-1", FILES)
    for number, version in enumerate(("1", "2", "3")):
        await kept.cache.keep(made(number, hours=number, version=version), stored)
    await kept.cache.keep(made(9, content=9), stored)
    found = await kept.cache.same_content(made().key.content_hash)
    assert [each.made.key.made_by["version"] for each in found] == ["3", "2", "1"]
    assert await kept.cache.same_content("sha256:v1:" + "f" * 64) == []


async def test_the_newest_are_listed(kept: Kept) -> None:
    """As many as are asked for, over all contents; none in an empty store."""
    assert await kept.cache.newest(5) == []
    stored = await kept.put("one/1-1", FILES)
    for number in range(3):
        await kept.cache.keep(made(number, content=number, hours=number), stored)
    assert [each.made.request_id for each in await kept.cache.newest(9)] == ["job-2", "job-1", "job-0"]
    assert len(await kept.cache.newest(2)) == 2


async def test_clearing_drops_entries_and_no_file_of_a_job(kept: Kept) -> None:
    """Those whose files are gone or of another size, those made before a time, and what is none; twice is once."""
    for number in range(4):
        await kept.cache.keep(made(number, content=number, hours=number), await kept.put(f"j{number}/1-1", FILES))
    kept.remove("j1/1-1/best.wav")
    kept.write("j2/1-1/best.wav", b"short")
    kept.write(place_of(made(content=7)), b"{not an entry")
    kept.write(".cache/read.me", b"of somebody else")
    before = {name: kept.files(name) for name in ("j0", "j1", "j2", "j3")}
    assert await kept.cache.clear() == Cleared(5, gone=2, old=0, unreadable=1)
    assert await kept.cache.clear() == Cleared(2, gone=0, old=0, unreadable=0)
    assert await kept.cache.clear(NOON + timedelta(hours=1)) == Cleared(2, gone=0, old=1, unreadable=0)
    assert [each.made.request_id for each in await kept.cache.newest(9)] == ["job-3"]
    assert {name: kept.files(name) for name in ("j0", "j1", "j2", "j3")} == before
    assert kept.files(".cache")["read.me"] == b"of somebody else"


@ON_DISK
async def test_an_empty_cache_is_cleared(kept: Kept) -> None:
    """A store that has none yet."""
    assert await kept.cache.clear() == Cleared(0, 0, 0, 0)


def _other_key(document: dict[str, Any]) -> None:
    document["made_by"]["seed"] = 1


def _elsewhere(document: dict[str, Any]) -> None:
    document["files"][0]["place"] = "../../etc/passwd"


def _hidden(document: dict[str, Any]) -> None:
    document["files"][0]["place"] = "one/1-1/.secret"


def _absolute(document: dict[str, Any]) -> None:
    document["files"][0]["place"] = "/etc/passwd"


def _named_elsewhere(document: dict[str, Any]) -> None:
    document["files"][0]["name"] = "../take_01.wav"


def _twice(document: dict[str, Any]) -> None:
    document["files"].append(document["files"][0])


def _without_files(document: dict[str, Any]) -> None:
    document["files"] = []


def _no_digest(document: dict[str, Any]) -> None:
    document["files"][0]["sha256"] = "0" * 63 + "g"


def _negative(document: dict[str, Any]) -> None:
    document["files"][0]["bytes"] = -1


def _other_kind(document: dict[str, Any]) -> None:
    document["files"][0]["kind"] = "program"


def _no_time(document: dict[str, Any]) -> None:
    document["made_at"] = "yesterday"


def _no_zone(document: dict[str, Any]) -> None:
    document["made_at"] = "2026-01-01T00:00:00"


def _no_reason(document: dict[str, Any]) -> None:
    document["why"] = "because"


def _no_result(document: dict[str, Any]) -> None:
    document["result"] = None


def _numbers(document: dict[str, Any]) -> None:
    document["content"] = {"text": 1}


HARMS: tuple[Callable[[dict[str, Any]], None], ...] = (
    *(_other_key, _elsewhere, _hidden, _absolute, _named_elsewhere, _twice, _without_files, _no_digest, _negative),
    *(_other_kind, _no_time, _no_zone, _no_reason, _no_result, _numbers),
)


def entry() -> Entry:
    """One that was never written."""
    files = [
        {"name": "take_01.wav", "kind": "take", "place": "one/1-1/take_01.wav", "bytes": 3, "sha256": "0" * 64},
    ]
    document = json.loads(Entry(made(), ()).to_json()) | {"files": files}
    found = read_entry(json.dumps(document).encode())
    assert found is not None
    return found


def test_an_entry_reads_as_it_was_written() -> None:
    """On one line, with every part of its key."""
    raw = entry().to_json()
    assert raw.count(b"\n") == 1
    assert read_entry(raw) == entry()


@pytest.mark.parametrize("harm", HARMS)
def test_an_entry_that_is_odd_is_none(harm: Callable[[dict[str, Any]], None]) -> None:
    """Whatever somebody wrote into it: it leads nowhere out of the store, and is a miss."""
    document = json.loads(entry().to_json())
    harm(document)
    assert read_entry(json.dumps(document).encode()) is None


@pytest.mark.parametrize("raw", [b"", b"\0" * 100, b"{", b"[]", b"null", b"1", b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_entry_is_none(raw: bytes) -> None:
    """Empty after a power cut, cut off, or anything else."""
    assert read_entry(raw) is None


@ON_DISK
async def test_a_damaged_entry_is_a_miss_and_is_written_anew(kept: Kept) -> None:
    """It harms nobody but by one synthesis."""
    await filled(kept)
    kept.write(place_of(made()), b"")
    assert await kept.cache.find(made().key) is None
    assert await kept.cache.same_content(made().key.content_hash) == []
    assert await kept.cache.newest(9) == []
    await filled(kept, "two/2-2")


@ON_DISK
async def test_an_entry_under_the_name_of_another_key_is_a_miss(kept: Kept) -> None:
    """Copied by hand: what it says is of its own key."""
    await filled(kept)
    other = made(content=1)
    kept.write(place_of(other), kept.files(f".cache/{made().key.content_hex}")[f"{made().key.hex}.json"])
    assert await kept.cache.find(other.key) is None


async def test_files_that_are_not_in_this_store_are_not_noted(kept: Kept) -> None:
    """Of another root or bucket: nobody here could take them."""
    (stored, *_) = await kept.put("one/1-1", FILES)
    for uri in ("file:///elsewhere/.store/one/1-1/a", "s3://elsewhere/x/.store/one/1-1/a", "https://example.org/a"):
        with pytest.raises(PermanentError, match="not in the store"):
            await kept.cache.keep(made(), [replace(stored, uri=uri)])
    assert await kept.cache.find(made().key) is None
