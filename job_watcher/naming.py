"""A watcher's name, guarded on its host by a locked file that remembers the session it last had.

So a watcher that was killed ends exactly its own former session when it starts again, and two of one name
cannot run side by side on one host. (Across hosts the session's registration refuses the second.)
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final

from lib.errors import InvalidInputError, NameTakenError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MOST_UNNAMED: Final = 64
"""How many watchers without a name of their own one host may run."""


class WatcherName:
    """A name held by this process until `release`."""

    def __init__(self, name: str, file: IO[str], previous: str) -> None:
        self.name = name
        self.previous_session = previous
        self._file = file

    def new_run_id(self) -> str:
        """A run_id: one life of this watcher."""
        return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"

    def remember(self, session: str) -> None:
        """Write down the session, before it is opened, so that a successor can end it."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(session)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.previous_session = session

    def release(self) -> None:
        """Let the name go."""
        self._file.close()


def claim(state_dir: Path, wanted: str | None) -> WatcherName:
    """Hold a name: the one wanted, or the host's with the first free number.

    Raises:
        InvalidInputError: the name has characters that a session may not have.
        NameTakenError: another process of this host has it.
        SettingsError: the state directory cannot be written.

    """
    folder = state_dir / "watchers"
    try:
        return _claim(folder, wanted)
    except OSError as exc:
        raise SettingsError(
            f"JOBS_STATE_DIR: {folder} cannot be used: {exc.strerror or exc}", hint="choose a directory of your own"
        ) from exc


def _claim(folder: Path, wanted: str | None) -> WatcherName:
    folder.mkdir(parents=True, exist_ok=True)
    if wanted is not None:
        if not _NAME.fullmatch(wanted):
            raise InvalidInputError(
                f"--consumer-name: {wanted!r} is not allowed",
                hint="use letters, digits, '-', '_' and '.', at most 63",
            )
        held = _try(folder, wanted)
        if held is None:
            raise NameTakenError(
                f"a watcher named {wanted!r} is already running here: {_owner(folder, wanted)}",
                hint="stop it, or choose another --consumer-name",
            )
        return held
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:50].strip("-.") or "watcher"
    for number in range(1, _MOST_UNNAMED + 1):
        held = _try(folder, f"{host}-{number}")
        if held is not None:
            return held
    raise NameTakenError(f"{_MOST_UNNAMED} watchers run here already", hint="name this one with --consumer-name")


def _try(folder: Path, name: str) -> WatcherName | None:
    file = (folder / f"{name}.session").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.seek(0)
    return WatcherName(name, file, file.read().strip())


def _owner(folder: Path, name: str) -> str:
    session = (folder / f"{name}.session").read_text(encoding="utf-8").strip()
    return f"session {session or 'not opened yet'}"


def sessions_here(state_dir: Path) -> dict[str, str]:
    """Watcher name -> the session it last had, of every watcher that ever ran from this state directory."""
    folder = state_dir / "watchers"
    return {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("*.session"))}
