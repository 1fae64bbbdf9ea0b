"""Whether a bucket can hold outputs: tried with a small object, which is gone afterwards.

A watcher tries it at its start and `job-runner doctor` at any time. It says what a store does not honour, so that
the risk has a name; what it refuses is raised.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.errors import JobRunnerError, TemporaryError
from lib.stores.s3_upload import refuses_wrong_checksums

if TYPE_CHECKING:
    from lib.stores.s3_client import Bucket


@dataclass(frozen=True, slots=True)
class Findings:
    """What a store honours.

    `creates_once`: an object is not written over by a request that wants a new one. `replaces_known`: only what was
    read is replaced. `checks_bytes`: a wrong checksum is refused. `abandoned`: uploads that were never completed.
    """

    creates_once: bool
    replaces_known: bool
    checks_bytes: bool
    abandoned: int


def examine(bucket: Bucket, store: str) -> Findings:
    """Write, read, replace, copy, list and remove below `store`. Blocks.

    Raises:
        BucketRefusedError: it is not there, or these credentials may not.
        TemporaryError: it does not answer, or answers nonsense.
    """
    key = f"{store}.probe-{secrets.token_hex(8)}"
    content = key.encode()
    try:
        # A write first: what it is refused for is named, which a reply to HEAD has no room for.
        made = bucket.put_new(key, content, hashlib.sha256(content).hexdigest())
        if not made or bucket.head(f"{key}-missing") is not None:
            raise TemporaryError(f"{bucket.uri(key)}, which nobody can have made, was there already")
        creates_once = not bucket.put_new(key, content, "")
        read = bucket.read(key)
        if read is None or read[0] != content:
            raise TemporaryError(f"{bucket.uri(key)} reads back other than it was written")
        replaces_known = bucket.replace(key, content + b"!", '"00000000000000000000000000000000"') is None
        held = bucket.head(key)
        if held is None or not bucket.copy(key, held, f"{key}-copy", None):
            raise TemporaryError(f"{bucket.uri(key)} could not be copied")
        checks_bytes = refuses_wrong_checksums(bucket, f"{key}-checked")
        return Findings(creates_once, replaces_known, checks_bytes, len(bucket.uploads(store)))
    finally:
        with contextlib.suppress(JobRunnerError):
            bucket.delete(f"{key}-copy")
        # Not suppressed: a watcher that may not remove cannot settle what it publishes.
        bucket.delete(key)
