"""An S3 store beside a work directory, in a bucket of its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from lib.stores.s3 import S3Artifacts
from lib.stores.s3_client import Bucket
from lib.tasks.base import Output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lib.stores.artifacts import StoredOutput
    from tests.support.buckets import BucketServer

PREFIX = "voice results/night"
PART_BYTES = 5 << 20
"""The smallest part that a store takes."""


def sha256(content: bytes) -> str:
    """As records have it."""
    return hashlib.sha256(content).hexdigest()


class S3Bench:
    """A store over a bucket, and a work directory whose files can be put into it."""

    def __init__(self, base: Path, server: BucketServer, bucket: str, url: str = "", **options: Any) -> None:
        self.work = base
        self.server = server
        self.name = bucket
        self.secrets: set[str] = set()
        self.bucket = Bucket(bucket, url or server.url, on_secrets=self.secrets.update)
        self.store = S3Artifacts(self.bucket, PREFIX, **{"patience_seconds": 20.0, **options})
        self.store._uploads.part_bytes = PART_BYTES

    def beside(self, url: str = "", **options: Any) -> S3Bench:
        """Another process's store over the same bucket; `url` of a road to it."""
        return S3Bench(self.work, self.server, self.name, url, **options)

    @staticmethod
    def output(path: Path) -> Output:
        """A file as a task returns it."""
        return Output(path.name, path, "take")

    def made(self, files: Mapping[str, bytes]) -> list[Output]:
        """Outputs of these names and bytes, as a task returns them."""
        outputs = []
        for name, content in files.items():
            (self.work / name).write_bytes(content)
            outputs.append(Output(name, self.work / name, "take"))
        return outputs

    async def put(self, job_dir: str, files: Mapping[str, bytes]) -> list[StoredOutput]:
        """Make these files and store them."""
        return await self.store.put(job_dir, self.made(files))

    def stored(self) -> dict[str, bytes]:
        """What is in the store, by job_dir and name."""
        start = f"{PREFIX}/.store/"
        return {key.removeprefix(start): body for key, body in self.server.objects(self.name, start).items()}

    def published(self, output_name: str) -> dict[str, bytes]:
        """What a person finds under the name."""
        start = f"{PREFIX}/{output_name}/"
        found = {key.removeprefix(start): body for key, body in self.server.objects(self.name, start).items()}
        return {name: body for name, body in found.items() if not name.startswith(".")}

    def half_sent(self) -> list[str]:
        """Uploads that are not complete."""
        return self.server.half_sent(self.name)
