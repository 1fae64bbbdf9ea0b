"""One file into the bucket, under a key that stays as it is for good; proven before it is named in a record.

Small files go in one request, larger ones in parts, of which one at a time is in memory. The key is created on the
condition that nothing stands there, so a late writer changes no byte under a record. Of what is not completed the
parts are thrown away again, as long as this process lives; `lib.stores.s3` says who cleans up after one that does not.

How it is proven: a store that checks checksums (it refused a wrong one, which is tried once) has compared every byte
with the SHA-256 that was sent with it, and names the checksum that it keeps. From any other the object is read back.
The ETag is never asked: it is no digest of the file for parts or with encryption.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from lib.errors import JobRunnerError, PermanentError, TemporaryError
from lib.failpoints import reach
from lib.stores.directories import Digest, open_source
from lib.stores.s3_client import checksum_of
from lib.stores.s3_errors import BytesChangedError

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from lib.stores.s3_client import Bucket, Part

PART_BYTES: Final = 8 << 20
"""What is in memory for each file on its way; also the largest file that goes in one request."""

MOST_PARTS: Final = 10_000
"""The store's limit: larger files have larger parts."""

_BLOCK_BYTES: Final = 1 << 20


class StoppedError(Exception):
    """The caller has given this up; nobody waits for the outcome."""


@dataclass(slots=True)
class Uploads:
    """Puts files into a bucket. `checks` says whether the store refuses wrong checksums; None until it was tried."""

    bucket: Bucket
    part_bytes: int = PART_BYTES
    checks: bool | None = field(default=None)

    def put(self, path: Path, key: str, stop: threading.Event) -> Digest:
        """Store the file under `key` and prove it. Repeatable. Blocks.

        Raises:
            PermanentError: other bytes stand there already, or the task left no such file.
            TemporaryError: worth another try.
            StoppedError: `stop` was set.
        """
        with open_source(path) as opened:
            digest = _digest(opened, stop)
            opened.seek(0)
            if digest.size <= self.part_bytes:
                checksum = self._put_whole(opened, key, digest)
            else:
                checksum = self._put_parts(opened, key, digest, stop)
        if checksum is None:
            self._check_standing(key, digest)
        else:
            self._prove(key, digest, checksum)
        return digest

    def _put_whole(self, opened: BinaryIO, key: str, digest: Digest) -> str | None:
        """The checksum that the store must have; None when an object stands there already."""
        content = opened.read(self.part_bytes + 1)
        _check_unchanged(key, digest, Digest(len(content), hashlib.sha256(content).hexdigest()))
        return checksum_of(content) if self.bucket.put_new(key, content, digest.sha256) else None

    def _put_parts(self, opened: BinaryIO, key: str, digest: Digest, stop: threading.Event) -> str | None:
        if self.bucket.head(key) is not None:
            return None
        size = max(self.part_bytes, -(-digest.size // MOST_PARTS))
        upload_id = self.bucket.begin(key, digest.sha256)
        try:
            parts: list[Part] = []
            sent, whole = 0, hashlib.sha256()
            while content := opened.read(size):
                whole.update(content)
                sent += len(content)
                parts.append(self.bucket.put_part(key, upload_id, len(parts) + 1, content))
                reach("store.part")
                _check_wanted(stop)
            _check_unchanged(key, digest, Digest(sent, whole.hexdigest()))
            made = self.bucket.complete(key, upload_id, parts)
        except BaseException:
            self._throw_away(key, upload_id)
            raise
        if not made:
            self._throw_away(key, upload_id)
            return None
        return _checksum_of_parts(parts)

    def _throw_away(self, key: str, upload_id: str) -> None:
        # What cannot be thrown away now is found by the next attempt of the job or by the daily sweep.
        with contextlib.suppress(JobRunnerError):
            self.bucket.abort(key, upload_id)

    def _check_standing(self, key: str, digest: Digest) -> None:
        """What stood there before us must be the same: a repetition, or the reply to our request was lost."""
        standing = self.bucket.digest(key)
        if standing is None:
            raise TemporaryError(f"{self.bucket.uri(key)} was there and is gone", hint="this is tried again")
        if standing != digest:
            raise PermanentError(
                f"{self.bucket.uri(key)} is stored already with other bytes "
                f"({standing.sha256[:12]}, not {digest.sha256[:12]})",
                hint="each attempt needs a job_dir of its own",
            )

    def _prove(self, key: str, digest: Digest, checksum: str) -> None:
        held = self.bucket.head(key)
        if held is not None and held.bytes == digest.size and self._is_proof(key, held.checksum, checksum):
            return
        if held is None or held.sha256 != digest.sha256:
            # Another writer's mark, on a store that does not honour the condition: it may be under a record.
            self._check_standing(key, digest)
            return
        if self.bucket.digest(key) == digest:
            return
        # Our own, damaged on the way, and named by no record yet; else the next try would find other bytes there.
        self.bucket.delete(key, held.etag)
        raise TemporaryError(
            f"{self.bucket.uri(key)} reads back other than it was sent", hint="the store or the way to it is failing"
        )

    def _is_proof(self, key: str, said: str, checksum: str) -> bool:
        # Some stores write `-N`, the number of parts, behind it.
        if said.partition("-")[0] != checksum:
            return False
        if self.checks is None:
            self.checks = refuses_wrong_checksums(self.bucket, f"{key}.checked")
        return self.checks


def refuses_wrong_checksums(bucket: Bucket, key: str) -> bool:
    """Try it with an object of this key, which nobody else may use; it is gone afterwards."""
    try:
        bucket.put_new(key, b"a", "", checksum_of(b"another"))
    except BytesChangedError:
        return True
    bucket.delete(key)
    return False


def _digest(opened: BinaryIO, stop: threading.Event) -> Digest:
    size, found = 0, hashlib.sha256()
    while block := opened.read(_BLOCK_BYTES):
        _check_wanted(stop)
        size += len(block)
        found.update(block)
    return Digest(size, found.hexdigest())


def _check_wanted(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError


def _check_unchanged(key: str, before: Digest, now: Digest) -> None:
    if before != now:
        raise TemporaryError(
            f"{key.rpartition('/')[2]} changed while it was stored", hint="a task must end before its outputs are read"
        )


def _checksum_of_parts(parts: list[Part]) -> str:
    joined = b"".join(base64.b64decode(part.checksum) for part in parts)
    return base64.b64encode(hashlib.sha256(joined).digest()).decode()
