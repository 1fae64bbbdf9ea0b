"""Outputs in an S3 bucket: stored under a key that no other attempt can write, proven, then published.

`<prefix>/.store/<job_dir>/<file>` is what records point to; `<prefix>/<output_name>/<file>` is what people open. The
requests of one file and the rules of a published name stand in `s3_upload` and `s3_published`; here is what goes on
around them: threads, patience, deadlines, and the parts that a dead watcher left.

Nothing of a store's trouble is a job's fault. So a file is sent again and again for `PATIENCE_SECONDS`, with the
job's lease held meanwhile, before the attempt ends with a `TemporaryError`: an outage of minutes costs no job an
attempt, and no synthesis is done twice for it. Every call also has a deadline of its own, and runs in a daemon thread:
neither a slot nor the end of the process waits for an endpoint that has stalled.

Parts of uploads that nobody will complete are thrown away by whom they are known to be dead to: by the upload itself
when it fails or is cancelled; by the next attempt of the same job, whose lease proves that earlier ones have lost
theirs; and by `tidy` when they are older than `ABANDONED_SECONDS`, which no upload can be. Whoever was wrongly taken
for dead, a machine that slept for days, finds its upload gone and begins again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from loguru import logger

from lib.errors import PermanentError, RefusedError, TaskError, TemporaryError, UnreachableError
from lib.stores import directories
from lib.stores.artifacts import STORE_DIRECTORY, StoredOutput
from lib.stores.s3_errors import BucketRefusedError
from lib.stores.s3_handover import S3Handover
from lib.stores.s3_probe import examine
from lib.stores.s3_published import LARGEST_COPY_BYTES, PublishedName, Source
from lib.stores.s3_threads import in_thread
from lib.stores.s3_upload import StoppedError, Uploads

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from lib.stores.published import Order
    from lib.stores.s3_client import Bucket
    from lib.stores.s3_probe import Findings
    from lib.tasks.base import Output

T = TypeVar("T")

PATIENCE_SECONDS: Final = 600.0
"""Longer than most outages; the pauses of Retry come on top of it."""

PAUSES_SECONDS: Final = (0.5, 2.0, 5.0, 15.0, 30.0)
"""Between two tries of one file; the last one for all later ones."""

FILES_AT_ONCE: Final = 4
"""Of one watcher, on their way to the store: bounds the memory to as many parts."""

CALL_SECONDS: Final = 300.0
SLOWEST_BYTES_PER_SECOND: Final = 64 * 1024
"""The deadline of one call is the first, and more for a large file: slower than that is stalled."""

LONGEST_CALL_SECONDS: Final = 12 * 3600.0
ABANDONED_SECONDS: Final = 2 * LONGEST_CALL_SECONDS

MOST_KEY_BYTES: Final = 1024
"""The store's limit."""


class S3Artifacts:
    """The store in a bucket, below a prefix. One event loop uses it."""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        abandoned_seconds: float = ABANDONED_SECONDS,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._store = f"{prefix}/{STORE_DIRECTORY}/"
        self._uploads = Uploads(bucket)
        self._patience_seconds = patience_seconds
        self._abandoned_seconds = abandoned_seconds
        self._room = asyncio.Semaphore(FILES_AT_ONCE)

    async def put(self, job_dir: str, outputs: Sequence[Output]) -> list[StoredOutput]:
        """Send every file, several at once, and prove each."""
        place = self._store + "/".join(directories.plain_parts(job_dir))
        keys = [self._key_of(job_dir, output.name) for output in outputs]
        if any(_size(output) > self._uploads.part_bytes for output in outputs):
            await self._patiently(partial(self._abort_earlier, place))
        sending = [asyncio.ensure_future(self._put(*each)) for each in zip(outputs, keys, strict=True)]
        try:
            return list(await asyncio.gather(*sending))
        finally:
            for each in sending:
                each.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def publish(self, output_name: str, stored: Sequence[StoredOutput], *, order: Order = ()) -> bool:
        """Copy on the store's side, in an order that a manifest written under conditions keeps."""
        directories.plain_parts(output_name)
        shown = {directories.plain_name(item.name): self._source(item) for item in stored}
        for name in shown:
            self._checked_key(f"{self._prefix}/{output_name}/{name}")
        published = PublishedName(self._bucket, self._prefix, output_name, self._store, LARGEST_COPY_BYTES)
        seconds = _deadline_seconds(sum(item.bytes for item in stored))
        return await in_thread(lambda stop: published.publish(shown, order, partial(_check, stop)), seconds)

    def published_uri(self, output_name: str, name: str) -> str:
        """An s3 URI, as the tools of S3 take it: nothing in it is escaped."""
        directories.plain_parts(output_name)
        return self._bucket.uri(f"{self._prefix}/{output_name}/{directories.plain_name(name)}")

    def handover(self) -> S3Handover:
        """By presigned requests."""
        return S3Handover(self._bucket, self._key_of, self._room)

    async def check(self) -> None:
        """Store, read, list and remove a small object."""
        await self.examine()

    async def examine(self) -> Findings:
        """The same, and what the store honours."""
        try:
            return await in_thread(lambda _: examine(self._bucket, self._store), CALL_SECONDS)
        except BucketRefusedError as exc:
            raise RefusedError(f"outputs cannot be stored: {exc.message}", hint=exc.hint) from exc
        except TaskError as exc:
            raise UnreachableError(f"outputs cannot be stored: {exc.message}", hint=exc.hint) from exc

    async def tidy(self) -> int:
        """Throw away uploads that are too old to be anybody's."""
        return await in_thread(lambda _: self._abort_abandoned(), CALL_SECONDS)

    def close(self) -> None:
        """End the connections; a later call makes new ones."""
        self._bucket.close()

    async def _put(self, output: Output, key: str) -> StoredOutput:
        async with self._room:
            digest = await self._patiently(
                partial(self._uploads.put, output.path, key), _deadline_seconds(_size(output)), key
            )
        return StoredOutput(output.name, output.kind, self._bucket.uri(key), digest.size, digest.sha256)

    async def _patiently(
        self, work: Callable[[threading.Event], T], seconds: float = CALL_SECONDS, what: str = ""
    ) -> T:
        until = time.monotonic() + self._patience_seconds
        tries = 0
        while True:
            try:
                return await in_thread(work, seconds)
            except TemporaryError as exc:
                pause = PAUSES_SECONDS[min(tries, len(PAUSES_SECONDS) - 1)]
                if time.monotonic() + pause > until:
                    raise
                if not tries:
                    logger.warning("not stored yet: {}; trying again{}", exc.message, f" for {what}" if what else "")
                tries += 1
            except OSError as exc:
                with directories.disk_errors("reading outputs"):
                    raise exc from None
            await asyncio.sleep(pause)

    def _abort_earlier(self, place: str, _stop: threading.Event) -> None:
        """Throw away what earlier attempts of the same request, and earlier tries of this one, left half sent."""
        above, _, own = place.rpartition("/")
        mine = _age(own)
        for upload in self._bucket.uploads(f"{above}/"):
            name: str = upload.key.removeprefix(f"{above}/").partition("/")[0]
            if name == own or (mine is not None and (_age(name) or mine) < mine):
                self._bucket.abort(upload.key, upload.upload_id)

    def _abort_abandoned(self) -> int:
        old = [each for each in self._bucket.uploads(f"{self._prefix}/") if each.age_seconds > self._abandoned_seconds]
        for upload in old:
            self._bucket.abort(upload.key, upload.upload_id)
        return len(old)

    def _source(self, item: StoredOutput) -> Source:
        """Where a stored file is, from the URI in its record, which is not taken on trust."""
        start = self._bucket.uri(self._store)
        if not item.uri.startswith(start):
            raise TemporaryError(
                f"{item.name} is stored at {item.uri}, outside this watcher's {start.removesuffix('.store/')}",
                hint="a watcher with the bucket and prefix of the one that made it can publish it",
            )
        below = item.uri.removeprefix(start)
        directories.plain_parts(below)
        return Source(self._store + below, item.bytes, item.sha256)

    def _key_of(self, job_dir: str, name: str) -> str:
        parts = (*directories.plain_parts(job_dir), directories.plain_name(name))
        return self._checked_key(self._store + "/".join(parts))

    def _checked_key(self, key: str) -> str:
        size = len(key.encode())
        if size > MOST_KEY_BYTES:
            raise PermanentError(
                f"{key} is {size} bytes long; an object's name has at most {MOST_KEY_BYTES}",
                hint="choose a shorter output_name or S3_PREFIX",
            )
        return key


def _age(attempt: str) -> tuple[int, int] | None:
    """What puts the attempts of a request in order: `<generation>-<fence>`; None for another name."""
    generation, _, fence = attempt.partition("-")
    return (int(generation), int(fence)) if generation.isdecimal() and fence.isdecimal() else None


def _size(output: Output) -> int:
    # What is wrong with the file is said when it is opened.
    with contextlib.suppress(OSError):
        return output.path.stat().st_size
    return 0


def _deadline_seconds(size: int) -> float:
    return min(CALL_SECONDS + size / SLOWEST_BYTES_PER_SECOND, LONGEST_CALL_SECONDS)


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError
