"""What running batches asks of a host: a process with lines in and out, and files there and back.

`job_watcher.hosts.connection.Host` has it over ssh; tests have a directory and processes of this machine. Every path on
the host is relative to the directory in which its user works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from job_watcher.hosts.errors import HostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from job_watcher.hosts.transfers import Extent


class HostUnfitError(HostError):
    """The host is given no jobs any more: it lied, or its worker does not run. What it had goes elsewhere."""

    code = "host_unfit"


class WorkerProcess(Protocol):
    """One process on the host, and all that it starts; see `job_watcher.hosts.remote.RemoteProcess`."""

    def lines(self) -> AsyncIterator[str]:
        """What it says on stdout, to its end."""

    @property
    def stderr_tail(self) -> str:
        """The end of what it said on stderr."""

    async def write_line(self, line: str) -> None:
        """Say something to its stdin; HostLostError also where it has ended."""

    async def close_stdin(self) -> None:
        """Say that nothing follows."""

    async def wait(self) -> int:
        """Its exit code, negative for a signal; HostLostError when nobody knows."""

    async def kill(self, seconds: float = ...) -> None:
        """End its whole group, and see that it is gone. Repeatable."""


class BatchHost(Protocol):
    """A machine that is reached."""

    @property
    def name(self) -> str:
        """As messages name it."""

    async def start(
        self, argv: Sequence[str], *, cwd: str | None = ..., environment: Mapping[str, str] | None = ...
    ) -> WorkerProcess:
        """Start a program in a group of its own."""

    async def put(self, directory: str, files: Mapping[str, Path | bytes], *, seconds: float = ...) -> None:
        """Write files below the directory; both are made if need be."""

    async def get(
        self,
        directory: str,
        local: Path,
        *,
        names: Sequence[str] | None = ...,
        extent: Extent | None = ...,
        seconds: float = ...,
    ) -> Mapping[str, int]:
        """Fetch the named files of a directory; HostAnswerError where it has not what was asked for."""

    async def remove(self, directory: str, *, seconds: float = ...) -> None:
        """Delete a directory; no error where there is none."""
