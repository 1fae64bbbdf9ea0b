"""A connection to one host: made within a deadline, to the machine that it was before, and known to be lost when it is.

The key of a host's first connection is told as `known_key`; whoever connects again gives it back, and another one is
HostKeyChangedError. Nothing is read from the user's ssh configuration. What asyncssh raises ends here and in its
neighbours. Called by the driver of an instance, by probes, the bootstrap and the batches.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import asyncssh

    from job_watcher.hosts.keys import HostKeys, OwnKeys
    from job_watcher.hosts.remote import Ran, RemoteProcess
    from job_watcher.hosts.transfers import Extent
    from lib.market.base import Address

KEEPALIVE_SECONDS: Final = 5.0


class Host:
    """A connected host. Made by `connect`; closed by `aclose`."""

    def __init__(self, connection: asyncssh.SSHClientConnection, name: str, known_key: bytes) -> None:
        self._connection = connection
        self.name = name
        self.known_key = known_key
        self.lost = asyncio.Event()

    async def start(
        self, argv: Sequence[str], *, cwd: str | None = None, environment: Mapping[str, str] | None = None
    ) -> RemoteProcess:
        """Start a program in a session of its own; `environment` is seen by everybody there and holds no secret.

        Raises:
            HostLostError: the connection is gone.
            HostRefusedError: no program was started, such as where `cwd` is not there.
        """
        raise NotImplementedError

    async def run(self, argv: Sequence[str], *, seconds: float, stdin: bytes = b"") -> Ran:
        """Run a short program to its end; its output is bounded. After `seconds` it is killed.

        Raises:
            HostLostError: the connection is gone, or the program did not end in time.
            HostAnswerError: it said more than a megabyte.
        """
        raise NotImplementedError

    async def put(self, directory: str, files: Mapping[str, Path | bytes], *, seconds: float = 600.0) -> None:
        """Write files below `directory` there; names are relative, folders are made.

        Raises:
            HostLostError: the connection is gone, or it took too long.
            HostRefusedError: the host could not write, such as for want of space.
        """
        raise NotImplementedError

    async def get(
        self,
        directory: str,
        local: Path,
        *,
        names: Sequence[str] | None = None,
        extent: Extent | None = None,
        seconds: float = 600.0,
    ) -> Mapping[str, int]:
        """Fetch the files of these relative names, or all below `directory`, into `local`; bytes by name.

        A name that leads outside, a symlink, anything but a plain file, or more than `extent` allows is refused and
        nothing of it stays under a final name.

        Raises:
            HostLostError: the connection is gone, or it took too long.
            HostAnswerError: it has not what was asked for.
        """
        raise NotImplementedError

    async def remove(self, directory: str, *, seconds: float = 60.0) -> None:
        """Delete a directory there with all that is in it; no error where there is none."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the connection; repeatable, quick with a dead host. Remote processes are not ended by it."""


async def connect(
    address: Address,
    keys: HostKeys | OwnKeys,
    known: bytes | None,
    seconds: float,
    *,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
) -> Host:
    """Reach the host, trying again until `seconds` have passed; `known` is the pinned host key, None the first time.

    Raises:
        HostKeyChangedError: another machine answers; not tried again.
        HostRefusedError: it refuses the key, all the time.
        HostLostError: nothing answered in time.
    """
    raise NotImplementedError
