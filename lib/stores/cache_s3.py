"""The cache of a store in a bucket: entries as small objects, other jobs' files as copies on the store's side.

A file is proven by the checksum that the store keeps of it, and read where it keeps none of the whole. No byte of sound
passes this machine otherwise. `lib.stores.cache` has the rules; every call has a deadline, and nothing is tried for
long: what cannot be had now is made.
"""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lib.errors import PermanentError
from lib.failpoints import reach
from lib.stores import directories
from lib.stores.artifacts import STORE_DIRECTORY, StoredOutput
from lib.stores.cache import (
    CACHE_DIRECTORY,
    CachedFile,
    Cleared,
    Entry,
    entry_name,
    is_entry_name,
    newest_first,
    read_entry,
)
from lib.stores.s3_client import Bucket
from lib.stores.s3_published import LARGEST_COPY_BYTES
from lib.stores.s3_threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from lib.jobqueue.artifact_key import ArtifactKey
    from lib.jobqueue.records import StoredOutputLike
    from lib.stores.cache import Made
    from lib.stores.s3_client import Held

T = TypeVar("T")

CALL_SECONDS: Final = 30.0
"""For an entry, or one file of it; a store that takes longer is as good as away."""

WHOLE_SECONDS: Final = 3600.0
"""For all entries of a bucket."""

AT_ONCE: Final = 16
"""Requests of one watcher for its cache."""

_PORTION: Final = 500
"""So many entries are in memory at once, where all are looked at."""


class ListedBucket(Bucket):
    """A bucket that can also be looked through."""

    def listed(self, prefix: str) -> list[tuple[str, datetime]]:
        """Every object below a prefix, and when it was written by the store's clock."""
        found: list[tuple[str, datetime]] = []
        after: dict[str, Any] = {}
        while True:
            doing = f"listing {self.uri(prefix)}"
            answer = self._call("list_objects_v2", doing, Prefix=prefix, **after) or {}
            found += [(str(each["Key"]), each["LastModified"]) for each in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return found
            after = {"ContinuationToken": answer["NextContinuationToken"]}


class S3Cache:
    """The entries beside the files of an `S3Artifacts`. One event loop uses it."""

    def __init__(self, bucket: ListedBucket, prefix: str, *, call_seconds: float = CALL_SECONDS) -> None:
        self._bucket = bucket
        self._call_seconds = call_seconds
        self._store = f"{prefix}/{STORE_DIRECTORY}/"
        self._cache = f"{self._store}{CACHE_DIRECTORY}/"
        self._room = asyncio.Semaphore(AT_ONCE)

    async def find(self, key: ArtifactKey) -> Entry | None:
        """One request."""
        entry = await self._ask(lambda: self._read(self._key_of(key)))
        return entry if entry is not None and entry.made.key == key else None

    async def take(self, entry: Entry, job_dir: str) -> list[StoredOutput] | None:
        """Three requests a file, and all files at once."""
        place = self._store + "/".join(directories.plain_parts(job_dir))
        taking = [self._ask(lambda file=file: self._taken(file, place)) for file in entry.files]  # type: ignore[misc]  # a default of a lambda
        done = await asyncio.gather(*taking)
        if all(done):
            return [
                StoredOutput(each.name, each.kind, self._bucket.uri(f"{place}/{each.name}"), each.bytes, each.sha256)
                for each in entry.files
            ]
        for file, taken in zip(entry.files, done, strict=True):
            if taken:
                await self._ask(lambda name=file.name: self._bucket.delete(f"{place}/{name}"))  # type: ignore[misc]  # ditto
        return None

    async def keep(self, made: Made, stored: Sequence[StoredOutputLike]) -> None:
        """Two requests. Whoever writes it at the same moment says the same."""
        entry = Entry(made, tuple(self._file(each) for each in stored))
        await self._ask(lambda: self._keep(entry))

    async def same_content(self, content_hash: str) -> list[Entry]:
        """One listing, and a request each."""
        prefix = f"{self._cache}{content_hash.rpartition(':')[2]}/"
        return await self._entries(await self._ask(lambda: self._bucket.listed(prefix)))

    async def newest(self, most: int) -> list[Entry]:
        """A listing of all, and a request each."""
        listed = await self._ask(lambda: self._bucket.listed(self._cache), WHOLE_SECONDS)
        return await self._entries(sorted(listed, key=lambda each: each[1], reverse=True)[:most])

    async def clear(self, before: datetime | None = None) -> Cleared:
        """A request for each entry and each of its files."""
        listed = await self._ask(lambda: self._bucket.listed(self._cache), WHOLE_SECONDS)
        keys = [key for key, _ in listed if is_entry_name(key.rpartition("/")[2])]
        found = await self._of_each(keys, lambda key: self._cleared(key, before))
        return Cleared(len(keys), found.count("gone"), found.count("old"), found.count("unreadable"))

    async def _ask(self, work: Callable[[], T], seconds: float | None = None) -> T:
        async with self._room:
            return await in_thread(lambda _: work(), self._call_seconds if seconds is None else seconds)

    async def _of_each(self, keys: Sequence[str], work: Callable[[str], T]) -> list[T]:
        """A portion at a time: a bucket may hold a hundred thousand. What one raises is raised when no other runs."""
        found: list[T] = []
        for start in range(0, len(keys), _PORTION):
            asked = [self._ask(partial(work, key)) for key in keys[start : start + _PORTION]]
            done = await asyncio.gather(*asked, return_exceptions=True)
            for each in done:
                if isinstance(each, BaseException):
                    raise each
                found.append(each)
        return found

    async def _entries(self, listed: Sequence[tuple[str, datetime]]) -> list[Entry]:
        keys = [key for key, _ in listed if is_entry_name(key.rpartition("/")[2])]
        entries = await self._of_each(keys, self._read)
        return newest_first([entry for entry in entries if entry is not None])

    def _key_of(self, key: ArtifactKey) -> str:
        return self._cache + "/".join(entry_name(key))

    def _read(self, key: str) -> Entry | None:
        found = self._bucket.read(key)
        return None if found is None else read_entry(found[0])

    def _taken(self, file: CachedFile, place: str) -> bool:
        reach("cache.link")
        source, own = self._store + file.place, f"{place}/{file.name}"
        held = self._bucket.head(source)
        if held is None or file.bytes > LARGEST_COPY_BYTES or not self._is_sound(source, held, file):
            return False
        try:
            self._bucket.copy(source, held, own, None)
        except PermanentError:
            # It went between the two requests.
            return False
        copied = self._bucket.head(own)
        return copied is not None and self._is_sound(own, copied, file)

    def _is_sound(self, key: str, held: Held, file: CachedFile) -> bool:
        if (held.bytes, held.sha256) != (file.bytes, file.sha256):
            return False
        if held.checksum == base64.b64encode(bytes.fromhex(file.sha256)).decode():
            return True
        # Of parts, or none at all: then only the bytes tell.
        return self._bucket.digest(key) == directories.Digest(file.bytes, file.sha256)

    def _keep(self, entry: Entry) -> None:
        reach("cache.keep")
        key = self._key_of(entry.made.key)
        found = self._bucket.read(key)
        self._bucket.replace(key, entry.to_json(), None if found is None else found[1])

    def _file(self, stored: StoredOutputLike) -> CachedFile:
        start = self._bucket.uri(self._store)
        if not stored.uri.startswith(start):
            raise PermanentError(f"{stored.uri} is not in the store {start}")
        return CachedFile(stored.name, stored.kind, stored.uri.removeprefix(start), stored.bytes, stored.sha256)

    def _cleared(self, key: str, before: datetime | None) -> str:
        """Why an entry was dropped; empty when it stays."""
        entry = self._read(key)
        if entry is None:
            why = "unreadable"
        elif before is not None and entry.made.made_at < before:
            why = "old"
        elif not all(map(self._is_there, entry.files)):
            why = "gone"
        else:
            return ""
        self._bucket.delete(key)
        return why

    def _is_there(self, file: CachedFile) -> bool:
        held = self._bucket.head(self._store + file.place)
        return held is not None and (held.bytes, held.sha256) == (file.bytes, file.sha256)
