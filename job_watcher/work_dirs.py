"""A directory of its own for every attempt, gone when the attempt is.

`<WATCHER_WORK_DIR>/<session>/<hash of request_id>-<fence>`. A fence never repeats, so no two attempts share one.
The session's directory is locked while its watcher lives; what a killed watcher left is unlocked, and
`sweep` removes it. Made by the wiring, used by `job_watcher.execution`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import threading
from typing import TYPE_CHECKING, Final, Self

from loguru import logger

from job_watcher.finishing import to_the_end
from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from lib.jobqueue.protocol import Lease

# Only a directory that holds a file of this name is ours to sweep: somebody may have pointed WATCHER_WORK_DIR at
# a directory that holds other things.
LOCK_NAME: Final = ".job-watcher.lock"
_LOCK_TRIES: Final = 10
_HASH_DIGITS: Final = 32


def id_hash(request_id: str) -> str:
    """A request_id as a file name: it may hold any character and be longer than a name may be."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:_HASH_DIGITS]


class WorkDir:
    """The directory of one attempt: made when first asked for, since most bodies that write nothing need none.

    An async context manager; when the block ends, however it ends, the directory is gone.
    """

    def __init__(
        self, place: Path | Callable[[], Path], hold: Callable[[], None], held: Callable[[], bool] = lambda: False
    ) -> None:
        self._place = place
        self._hold = hold
        self._held = held
        self._made = self._promised = False

    def where(self) -> Path:
        """Where it is or would be."""
        return self.path

    @functools.cached_property
    def path(self) -> Path:
        """The same; worked out when first asked for, as most attempts never do."""
        return self._place() if callable(self._place) else self._place

    def make(self) -> Path:
        """The directory, existing, and empty when it was made. Blocks for a moment; repeatable.

        Raises:
            TemporaryError: the disk refuses; another attempt, or another machine, may be luckier.
        """
        if self._made:
            return self.path
        with self._disk_errors():
            self._hold()
            try:
                self.path.mkdir(mode=0o700)
            except FileExistsError:
                _remove(self.path)
                self.path.mkdir(mode=0o700)
            self._made = True
        return self.path

    async def promised(self) -> Path:
        """Where a child may make it: the session's directory is there and held, and the end removes what is made.

        Raises:
            TemporaryError: the disk refuses.
        """
        if not self._held():
            # A cancellation waits, or a thread would make the session's directory after its removal.
            await to_the_end(asyncio.to_thread(self._make_home))
        self._promised = True
        return self.path

    def _make_home(self) -> None:
        with self._disk_errors():
            self._hold()

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise TemporaryError(
                f"no work directory {self.path}: {exc.strerror or exc}",
                hint="check WATCHER_WORK_DIR, its space and owner",
            ) from exc

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made or self._promised:
            await to_the_end(asyncio.to_thread(_remove, self.path))


class WorkDirs:
    """The work directories of one session. The first that is made also sweeps up after dead sessions."""

    def __init__(self, root: Path, session: str) -> None:
        safe = re.sub(r"[^A-Za-z0-9-]", "_", session)[:_HASH_DIGITS]
        # The hash keeps sessions apart that the cleaning above would make equal.
        self.session = session
        self._home = root / f"{safe}-{id_hash(session)[:8]}"
        self._root = root
        self._holding = threading.Lock()
        self._lock: int | None = None

    def attempt(self, lease: Lease) -> WorkDir:
        """A directory for this attempt, to be entered with `async with`; nothing is on disk yet."""
        return WorkDir(functools.partial(self._place, lease), self._hold, lambda: self.held)

    def _place(self, lease: Lease) -> Path:
        return self._home / f"{id_hash(lease.request_id)}-{lease.fence}"

    @property
    def held(self) -> bool:
        """Whether the session's directory is there and locked."""
        return self._lock is not None

    async def sweep(self) -> int:
        """Remove what dead sessions on this machine left; how many."""
        return await asyncio.to_thread(self._sweep)

    async def aclose(self) -> None:
        """Remove this session's directory and release its lock. Repeatable."""
        await asyncio.to_thread(self._close)

    def _hold(self) -> None:
        with self._holding:
            if self._lock is None:
                self._lock = self._take_lock()
                self._sweep()

    def _take_lock(self) -> int:
        """Lock the session's directory; again if a sweep took it away between its making and its locking."""
        for _ in range(_LOCK_TRIES):
            self._home.mkdir(parents=True, exist_ok=True)
            lock = _locked(self._home, os.O_CREAT)
            if lock is not None and _still_there(self._home, lock):
                return lock
            if lock is not None:
                os.close(lock)
        raise OSError(f"its lock {self._home / LOCK_NAME} is held by another process")

    def _sweep(self) -> int:
        removed = 0
        for home in _directories(self._root):
            if home == self._home:
                continue
            lock = _locked(home)
            if lock is None:
                continue
            try:
                _remove(home)
                removed += 1
            finally:
                os.close(lock)
        return removed

    def _close(self) -> None:
        if self._lock is not None:
            _remove(self._home)
            os.close(self._lock)
            self._lock = None


def _locked(home: Path, create: int = 0) -> int | None:
    """A descriptor that holds the lock of a session's directory; None when it has none or a living watcher's."""
    try:
        descriptor = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | create, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _still_there(home: Path, lock: int) -> bool:
    try:
        return (home / LOCK_NAME).stat().st_ino == os.fstat(lock).st_ino
    except FileNotFoundError:
        return False


def _directories(root: Path) -> list[Path]:
    try:
        return [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except FileNotFoundError:
        return []


def _remove(place: Path) -> None:
    """Remove a tree; what cannot be removed is left to a later sweep, since the job itself is over."""

    def complain(_function: object, path: str, error: object) -> None:
        if not isinstance(error, tuple) or not isinstance(error[1], FileNotFoundError):
            logger.warning("cannot remove {}: {}", path, error)

    shutil.rmtree(place, onerror=complain)
