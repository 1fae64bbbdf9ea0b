"""A store with its cache, on a disk or in a bucket, and what a test does to it behind its back."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from lib.jobqueue.artifact_key import artifact_key
from lib.stores.cache import Made
from lib.stores.cache_disk import DiskCache
from lib.stores.cache_s3 import ListedBucket, S3Cache
from tests.lib.stores.s3_bench import PREFIX, S3Bench

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.stores.artifacts import ArtifactStore, StoredOutput
    from lib.stores.cache import ArtifactCache
    from tests.lib.stores.workbench import Bench

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FILES = {"take_01.wav": b"one" * 1000, "best.wav": b"best" * 1000, "takes.meta.json": b"{}"}


def made(number: int = 1, *, content: int = 0, hours: int = 0, **parts: Any) -> Made:
    """What job number `number` made of a content, so many hours after noon."""
    made_by = {"engine": "hibari", "version": "1", "seed": 0, **parts}
    return Made(
        key=artifact_key(f"sha256:v1:{content:064x}", made_by),
        content={"text": f"{content:016x}"},
        request_id=f"job-{number}",
        backend="metal",
        made_at=NOON + timedelta(hours=hours),
        why="new",
        result={"model": {"engine": "hibari"}, "takes": [{"seed": 0}]},
    )


class Kept(Protocol):
    """One kind of store: `store` and `cache` as a watcher has them."""

    @property
    def store(self) -> ArtifactStore:
        """Where files are."""

    @property
    def cache(self) -> ArtifactCache:
        """What is known of them."""

    async def put(self, job_dir: str, files: Mapping[str, bytes]) -> list[StoredOutput]:
        """Make these files and store them."""

    def files(self, start: str) -> dict[str, bytes]:
        """What is in the store below a name, by the name behind it."""

    def write(self, place: str, content: bytes) -> None:
        """Put other bytes into the store, as no watcher would."""

    def remove(self, start: str) -> None:
        """Remove everything below a name."""


class OnDisk:
    """A directory."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._root = bench.root / ".store"
        self.store = bench.store
        self.cache = DiskCache(bench.root)

    async def put(self, job_dir: str, files: Mapping[str, bytes]) -> list[StoredOutput]:
        """Make these files and store them."""
        return await self._bench.put(job_dir, **{name.replace(".", "__"): each for name, each in files.items()})

    def files(self, start: str) -> dict[str, bytes]:
        """What is below a directory."""
        found = sorted(path for path in (self._root / start).rglob("*") if path.is_file())
        return {str(path.relative_to(self._root / start)): path.read_bytes() for path in found}

    def write(self, place: str, content: bytes) -> None:
        """A new file in the place of the old one."""
        path = self._root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    def remove(self, start: str) -> None:
        """The directory or the file."""
        path = self._root / start
        path.unlink() if path.is_file() else shutil.rmtree(path)


class InBucket:
    """A bucket."""

    def __init__(self, bench: S3Bench, url: str = "") -> None:
        self._bench = bench
        self.store = bench.store
        self.cache = S3Cache(ListedBucket(bench.name, url or bench.server.url), PREFIX)

    async def put(self, job_dir: str, files: Mapping[str, bytes]) -> list[StoredOutput]:
        """Make these files and store them."""
        return await self._bench.put(job_dir, files)

    def files(self, start: str) -> dict[str, bytes]:
        """What is below a prefix."""
        found = self._bench.stored()
        return {name.removeprefix(f"{start}/"): body for name, body in found.items() if name.startswith(f"{start}/")}

    def write(self, place: str, content: bytes) -> None:
        """With the mark of the object that it replaces: as one who knows our ways, or a store that has lost bytes."""
        client, key = self._bench.server.client, f"{PREFIX}/.store/{place}"
        try:
            about = client.head_object(Bucket=self._bench.name, Key=key)["Metadata"]
        except client.exceptions.ClientError:
            about = {}
        client.put_object(Bucket=self._bench.name, Key=key, Body=content, Metadata=about)

    def remove(self, start: str) -> None:
        """Every object."""
        prefix = f"{PREFIX}/.store/{start}"
        for key in self._bench.server.objects(self._bench.name, prefix):
            self._bench.server.client.delete_object(Bucket=self._bench.name, Key=key)


def place_of(entry: Made) -> str:
    """Where the entry of this key lies in the store."""
    return f".cache/{entry.key.content_hex}/{entry.key.hex}.json"
