"""Outputs on a local disk: stored under a name that no other attempt can write, checked, then published.

Two places below one root. `<root>/.store/<job_dir>/<file>` is what records point to: written once, read back,
made read-only, never changed again. `<root>/<output_name>/<file>` is what people open: made equal to a record's
stored bytes, as often as anyone likes. It never deletes from the store and knows nothing of records or queues.

Who calls it: the watcher's execution puts before the commit; its publish loop publishes after it, from the
record, in any process that shares the root.

Disk trouble (full, read-only, no permission, I/O error) is a `TemporaryError`: the job is not to blame and the
same work may succeed once the disk is mended. A name that cannot be, a symlink on the way and bytes that differ
from their record are `PermanentError`s.

Publishing a generation that has fewer files: each published directory holds `.published.json`, the names and
digests of what was put there. Names that the new record lacks are removed if the bytes are still ours; a
file that anybody else made or changed stays. The manifest is written before the files, as the union of
old and new, and again after, so a crash in between leaves nothing that the next publish would overlook.

Two jobs may have one output name, and a publisher may be late: it was stopped, or takes over from a dead one. So
the manifest also keeps the order of the commit that it shows, and what was committed before that is left out.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from lib.errors import PermanentError, TemporaryError
from lib.stores import directories
from lib.stores.published import PublishedDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lib.stores.handover import Handover
    from lib.stores.published import Order
    from lib.tasks.base import Output, OutputKind

STORE_DIRECTORY = ".store"  # no output name has a part like it: lib.jobqueue.output_names refuses it
INCOMING = ".incoming"
"""In the store: where files lie until they are whole, so that what a dead process left is found in one place."""

ABANDONED_SECONDS = 3600.0
"""Only older files are looked at when that place is swept."""


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """One stored file as its record names it: `bytes` is its size, `sha256` 64 hex digits."""

    name: str
    kind: OutputKind
    uri: str
    bytes: int
    sha256: str


class ArtifactStore(Protocol):
    """Where outputs go."""

    async def put(self, job_dir: str, outputs: Sequence[Output]) -> list[StoredOutput]:
        """Store every file under `job_dir`, a relative name that only this attempt uses; all or an error.

        `job_dir` is `<request>/<generation>-<fence>`: who comes with a higher one has proven that the earlier attempts
        of that request are dead. Repeatable: putting the same bytes again changes nothing. What is returned was
        checked where it stands.
        """

    async def publish(self, output_name: str, stored: Sequence[StoredOutput], *, order: Order = ()) -> bool:
        """Make the files under `output_name` equal to these; repeatable, by any process.

        `order` rises with every commit. False, and nothing is changed, when what stands there was committed later.
        `TemporaryError` when another try, or a watcher elsewhere, may do it; `PermanentError` when none can.
        """

    def published_uri(self, output_name: str, name: str) -> str:
        """Where `publish` puts this file."""

    def handover(self) -> Handover | None:
        """How a machine without a key to the store puts files into it; None where it cannot."""

    async def check(self) -> None:
        """Find out at a watcher's start what would fail every job.

        `RefusedError` when the settings or rights are wrong, `UnreachableError` when it does not answer.
        """

    async def tidy(self) -> int:
        """Remove what processes that died left half stored, how many; never a living one's. Cheap, for every hour."""


class LocalArtifacts:
    """The store on a local or shared directory. All disk work runs in threads."""

    def __init__(self, root: Path) -> None:
        # The root itself may be a symlink, that is its owner's choice; below it none is followed.
        self._root = root.expanduser().resolve()

    @property
    def root(self) -> Path:
        """The directory that people open."""
        return self._root

    async def put(self, job_dir: str, outputs: Sequence[Output]) -> list[StoredOutput]:
        """Copy, fsync, read back, compare, rename, fsync the directory."""
        return await asyncio.to_thread(self._put, job_dir, tuple(outputs))

    async def publish(self, output_name: str, stored: Sequence[StoredOutput], *, order: Order = ()) -> bool:
        """Hard-link, or copy where links are not possible, to a temporary name, then rename."""
        return await asyncio.to_thread(self._publish, output_name, tuple(stored), order)

    def published_uri(self, output_name: str, name: str) -> str:
        """A file URI."""
        return self._root.joinpath(*directories.plain_parts(output_name), directories.plain_name(name)).as_uri()

    def handover(self) -> None:
        """None: only who has the disk writes to it."""

    async def check(self) -> None:
        """Nothing: a disk that is full or read-only by now may be mended by the time a job ends."""

    async def tidy(self) -> int:
        """Look through the one directory where files lie until they are whole."""
        return await asyncio.to_thread(self._tidy)

    def _tidy(self) -> int:
        try:
            with directories.opened_below(self._root, (STORE_DIRECTORY, INCOMING), create=False) as incoming:
                return directories.sweep_incoming(incoming, ABANDONED_SECONDS)
        except FileNotFoundError:
            return 0

    def _put(self, job_dir: str, outputs: tuple[Output, ...]) -> list[StoredOutput]:
        parts = (STORE_DIRECTORY, *directories.plain_parts(job_dir))
        stored: list[StoredOutput] = []
        with (
            directories.disk_errors(f"storing outputs under {self._root}"),
            directories.opened_below(self._root, (STORE_DIRECTORY, INCOMING), create=True) as incoming,
            directories.opened_below(self._root, parts, create=True) as place,
        ):
            for output in outputs:
                name = directories.plain_name(output.name)
                digest = directories.store_file(output.path, incoming, place, name)
                uri = self._root.joinpath(*parts, name).as_uri()
                stored.append(StoredOutput(name, output.kind, uri, digest.size, digest.sha256))
            directories.sync(place)
        return stored

    def _publish(self, output_name: str, stored: tuple[StoredOutput, ...], order: Order) -> bool:
        parts = directories.plain_parts(output_name)
        with directories.disk_errors(f"publishing {output_name} under {self._root}"):
            sources = [(item, self._stored_parts(item)) for item in stored]
            with (
                directories.opened_below(self._root, parts, create=True) as place,
                PublishedDirectory(place, output_name) as published,
            ):
                if published.is_newer_than(order):
                    return False
                # Who lacks a file must not announce: what was committed before and is here would be left out.
                for _, place_in_store in sources:
                    self._check_is_here(place_in_store, output_name)
                published.announce({item.name: item.sha256 for item in stored}, order)
                for item, (*folders, name) in sources:
                    with directories.opened_below(self._root, folders, create=False) as folder:
                        digest = directories.Digest(item.bytes, item.sha256)
                        published.place_file(item.name, directories.Stored(folder, name, digest))
                published.settle({item.name: item.sha256 for item in stored})
        return True

    def _check_is_here(self, parts: Sequence[str], output_name: str) -> None:
        *folders, name = parts
        try:
            with directories.opened_below(self._root, folders, create=False) as folder:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError as exc:
            raise TemporaryError(
                f"{name} of {output_name} is not in the store of this machine",
                hint="a watcher that shares the root of the one that made it can publish it",
            ) from exc

    def _stored_parts(self, item: StoredOutput) -> tuple[str, ...]:
        """The place of a stored file below the root, from the URI in its record, which is not taken on trust."""
        split = urlsplit(item.uri)
        prefix = f"{self._root.as_posix().rstrip('/')}/"
        path = unquote(split.path)
        if split.scheme != "file" or split.netloc not in {"", "localhost"} or not path.startswith(prefix):
            raise TemporaryError(
                f"{item.name} is stored at {item.uri}, outside this watcher's output root {self._root}",
                hint="a watcher that shares the root of the one that made it can publish it",
            )
        first, _, below = path.removeprefix(prefix).partition("/")
        if first != STORE_DIRECTORY:
            raise PermanentError(
                f"{item.uri} is not in the store", hint="the record was changed by hand; run the job again"
            )
        directories.plain_name(item.name)
        return (STORE_DIRECTORY, *directories.plain_parts(below))
