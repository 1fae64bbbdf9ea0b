"""Presigned requests for a bucket, and the look at what was done with them.

Each signs for the one object of the attempt's own name below `.store`, for its size and its digest, so a store that
checks takes nothing else; what stands there is read back all the same. Made by `lib.stores.s3`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Final

from lib.errors import TemporaryError
from lib.stores.artifacts import StoredOutput
from lib.stores.directories import Digest, disk_errors, plain_name
from lib.stores.handover import ClaimBrokenError, PresignedPut
from lib.stores.s3_client import about
from lib.stores.s3_threads import in_thread
from lib.stores.s3_upload import StoppedError

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lib.stores.handover import Claim
    from lib.stores.s3_client import Bucket

LONGEST_GRANT_SECONDS: Final = 7 * 86_400
"""The store's limit."""

SECONDS: Final = 300.0
SLOWEST_BYTES_PER_SECOND: Final = 64 * 1024
"""The deadline of one file is the first, and more for a large one."""


@dataclass(frozen=True, slots=True)
class S3Handover:
    """The handover of a bucket; `key_of` gives the checked key of a file of a job_dir."""

    bucket: Bucket
    key_of: Callable[[str, str], str]
    reading: asyncio.Semaphore
    """Bounds how many files are on their way at once, with those that are put."""

    async def grants(self, job_dir: str, claims: Sequence[Claim], seconds: float) -> Mapping[str, PresignedPut]:
        """Sign, in a thread: it may have to fetch credentials."""
        return await in_thread(lambda _: self._grants(job_dir, claims, seconds), SECONDS)

    async def accept(
        self, job_dir: str, claims: Sequence[Claim], into: Path, check: Callable[[Claim, Path], None]
    ) -> list[StoredOutput]:
        """Read back one after the other."""
        stored = []
        for claim in claims:
            async with self.reading:
                seconds = SECONDS + claim.bytes / SLOWEST_BYTES_PER_SECOND
                stored.append(await in_thread(partial(self._accept, job_dir, claim, into, check), seconds))
        return stored

    def _grants(self, job_dir: str, claims: Sequence[Claim], seconds: float) -> dict[str, PresignedPut]:
        until = max(1, min(int(seconds), LONGEST_GRANT_SECONDS))
        return {claim.name: self._grant(self.key_of(job_dir, claim.name), claim, until) for claim in claims}

    def _grant(self, key: str, claim: Claim, seconds: int) -> PresignedPut:
        checksum = base64.b64encode(bytes.fromhex(claim.sha256)).decode()
        beside = about(key, claim.sha256)
        url = self.bucket.signed(
            "put_object",
            key,
            seconds,
            IfNoneMatch="*",
            ContentLength=claim.bytes,
            ChecksumSHA256=checksum,
            **beside,
        )
        headers = {
            "If-None-Match": "*",
            "Content-Length": str(claim.bytes),
            "x-amz-checksum-sha256": checksum,
            **{f"x-amz-meta-{name}": value for name, value in beside["Metadata"].items()},
        }
        if "ContentType" in beside:
            headers["Content-Type"] = beside["ContentType"]
        return PresignedPut(url, headers)

    def _accept(
        self, job_dir: str, claim: Claim, into: Path, check: Callable[[Claim, Path], None], stop: threading.Event
    ) -> StoredOutput:
        key = self.key_of(job_dir, claim.name)
        path = into / plain_name(claim.name)
        with disk_errors(f"reading {self.bucket.uri(key)} back"), path.open("wb") as copy:
            found = self.bucket.digest(key, into=partial(_write, copy, stop), most=claim.bytes)
        if found is None:
            raise TemporaryError(f"{self.bucket.uri(key)} is not there, and was said to be", hint="this is tried again")
        if found != Digest(claim.bytes, claim.sha256):
            raise ClaimBrokenError(
                f"{self.bucket.uri(key)} is not what was claimed: at least {found.size} bytes, sha256 "
                f"{found.sha256[:12]}, and not {claim.bytes} bytes, {claim.sha256[:12]}",
                hint="whoever stored it is not to be believed",
            )
        check(claim, path)
        return StoredOutput(claim.name, claim.kind, self.bucket.uri(key), claim.bytes, claim.sha256)


def _write(copy: IO[bytes], stop: threading.Event, block: bytes) -> None:
    if stop.is_set():
        raise StoppedError
    copy.write(block)
