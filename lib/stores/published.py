"""One published directory: files that equal a record's stored bytes, and the manifest of what we put there.

`lib.stores.artifacts` opens it and says what must be in it; the rules for files of an older generation stand in
that module's docstring. A lock on the directory makes publishers take turns; where the file system has no
such lock each file is still whole, because it appears by rename, but two that publish at the same moment may mix.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Self

from lib import failpoints
from lib.errors import PermanentError, TemporaryError
from lib.stores import directories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

MANIFEST = ".published.json"

Order = tuple[int, ...]
"""Where in the order of commits a generation stands; the empty one is before all others."""

_LOCK_SECONDS = 5.0  # a publish takes milliseconds; who holds the lock for seconds is stuck
_LOCK_POLL_SECONDS = 0.02
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


class PublishedDirectory:
    """The open directory of one output name, held for the time of one publish."""

    def __init__(self, folder: int, output_name: str) -> None:
        self._folder = folder
        self._output_name = output_name
        self._before: dict[str, list[str]] = {}
        self._order: Order = ()

    def __enter__(self) -> Self:
        self._lock()
        self._before, self._order = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(self._folder, fcntl.LOCK_UN)

    def is_newer_than(self, order: Order) -> bool:
        """Whether what was put here last was committed after `order`."""
        return self._order > order

    def announce(self, files: Mapping[str, str], order: Order) -> None:
        """Write down, before any file appears, that these digests may stand here beside the earlier ones.

        From here on nothing of a lower order is published, even if this process dies before its first file.
        """
        union = {name: sorted({*self._before.get(name, ()), *extra}) for name, extra in self._merged(files)}
        if union != self._before or order != self._order:
            self._write(union, order)
            self._before, self._order = union, order

    def place_file(self, name: str, source: directories.Stored) -> None:
        """Make `name` hold exactly the stored bytes."""
        if self._held(name) == source.digest:
            return
        self._prove(source)
        temporary_name = directories.temporary_name()
        try:
            self._link_or_copy(source, temporary_name)
            failpoints.reach("publish.rename")
            os.rename(temporary_name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary_name, dir_fd=self._folder)

    def settle(self, files: Mapping[str, str]) -> None:
        """Remove what an earlier generation left and nobody changed, and write the final manifest."""
        failpoints.reach("publish.settle")
        for name, digests in self._before.items():
            if name in files:
                continue
            held = self._held(name)
            if held is not None and held.sha256 in digests:
                os.unlink(name, dir_fd=self._folder)
        directories.sync(self._folder)
        final = {name: [sha256] for name, sha256 in sorted(files.items())}
        if final != self._before:
            self._write(final, self._order)

    def _lock(self) -> None:
        """Take turns with other publishers, but never wait for one that was stopped with the lock in hand."""
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TemporaryError(
                        f"another process has been publishing {self._output_name} for {_LOCK_SECONDS:g} s",
                        hint="it is slow or stopped; this is tried again",
                    ) from None
                time.sleep(_LOCK_POLL_SECONDS)
            except OSError:
                # Some network file systems lock no directories; then only the manifest can fall behind.
                return
            else:
                self._sweep_temporaries()
                return

    def _merged(self, files: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
        return [(name, (files[name],) if name in files else ()) for name in sorted({*self._before, *files})]

    def _held(self, name: str) -> directories.Digest | None:
        """What stands under this name; None for nothing and for a symlink, which a rename replaces."""
        try:
            return directories.digest_of(self._folder, name)
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                return None
            raise

    def _prove(self, source: directories.Stored) -> None:
        found = directories.digest_of(source.folder, source.name)
        if found is None:
            raise TemporaryError(
                f"{source.name} of {self._output_name} is not in the store of this machine",
                hint="a watcher that shares the root of the one that made it can publish it",
            )
        if found != source.digest:
            raise PermanentError(
                f"the stored {source.name} of {self._output_name} is not what its record says",
                hint="somebody changed the store; run the job again with enqueue --replace",
            )

    def _link_or_copy(self, source: directories.Stored, temporary_name: str) -> None:
        try:
            os.link(
                source.name,
                temporary_name,
                src_dir_fd=source.folder,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            directories.copy_file(source, self._folder, temporary_name)

    def _read(self) -> tuple[dict[str, list[str]], Order]:
        """The manifest; an unreadable one counts as none, so that nothing is removed on its word."""
        try:
            descriptor = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return {}, ()
        with os.fdopen(descriptor, "rb") as opened:
            try:
                document = json.loads(opened.read())
            except ValueError:
                return {}, ()
        if not isinstance(document, dict):
            return {}, ()
        return files_of(document.get("files")), order_of(document.get("order"))

    def _write(self, files: Mapping[str, list[str]], order: Order) -> None:
        document = {
            "schema_version": 1,
            "output_name": self._output_name,
            "order": list(order),
            "files": dict(files),
        }
        with directories.temporary(self._folder) as (target, temporary_name):
            target.write(json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
            target.flush()
            os.fsync(target.fileno())
            os.rename(temporary_name, MANIFEST, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        directories.sync(self._folder)

    def _sweep_temporaries(self) -> None:
        """Remove what a publisher that died left; with the lock held no living one uses them."""
        for name in os.listdir(self._folder):  # noqa: PTH208  an open directory has no path
            if name.startswith(directories.TEMPORARY_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._folder)


def is_ours(name: str) -> bool:
    """Whether a manifest can mean a file of ours by this name: a plain one, that is not hidden."""
    return not name.startswith(".") and "/" not in name


def files_of(written: object) -> dict[str, list[str]]:
    """The names and digests of a manifest, without those that are none of ours."""
    if not isinstance(written, dict):
        return {}
    return {
        name: [digest for digest in digests if isinstance(digest, str)]
        for name, digests in written.items()
        if is_ours(name) and isinstance(digests, list)
    }


def order_of(written: object) -> Order:
    """None is the lowest, so that a manifest that was changed by hand keeps nothing from being published."""
    if not isinstance(written, list) or not all(type(part) is int for part in written):
        return ()
    return tuple(written)
