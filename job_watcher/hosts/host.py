"""A connected host: programs, files, and that it is lost when it is.

Made by `connection.connect`; used by the driver of an instance, by the probe, the bootstrap and the batches. It decides
nothing, and what asyncssh raises does not leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncssh

from job_watcher.finishing import to_the_end
from job_watcher.hosts import transfers
from job_watcher.hosts.errors import HostAnswerError, HostError, HostRefusedError
from job_watcher.hosts.remote import Ran, RemoteProcess, start_command
from job_watcher.hosts.speaking import speaking
from job_watcher.hosts.transfers import Extent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

_START_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 2.0
_KILL_SECONDS: Final = 5.0
_OUTPUT_BYTES: Final = 1024 * 1024
# sshd lets ten sessions be open in one connection: some for workers, and one that is free for a kill.
_SHORT_SESSIONS: Final = 4


class Host:
    """A connected host; `lost` is set when the connection is gone. Closed by `aclose`."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, name: str, known_key: bytes, lost: asyncio.Event
    ) -> None:
        self._connection = connection
        self.name = name
        self.known_key = known_key
        self.lost = lost
        self._short = asyncio.Semaphore(_SHORT_SESSIONS)
        self._bare = asyncio.Lock()

    async def start(
        self, argv: Sequence[str], *, cwd: str | None = None, environment: Mapping[str, str] | None = None
    ) -> RemoteProcess:
        """Start a program in a session of its own; `environment` is seen by everybody there and holds no secret.

        Raises:
            HostLostError: the connection is gone.
            HostRefusedError: no program was started, such as where `cwd` is not there.
        """
        mark = secrets.token_hex(8)
        command = start_command(argv, mark, cwd, environment or {})
        async with speaking(self, "start of a program", _START_SECONDS):
            process = RemoteProcess(self, await self._connection.create_process(command, encoding=None), mark)
        try:
            await process.begin(_START_SECONDS)
        except HostAnswerError as exc:
            process.forget()
            raise HostRefusedError(exc.message) from exc
        except BaseException:
            process.forget()
            raise
        return process

    async def run(self, argv: Sequence[str], *, seconds: float, stdin: bytes = b"") -> Ran:
        """Run a short program to its end; its output is bounded. After `seconds` it is killed.

        Raises:
            HostLostError: the connection is gone, or the program did not end in time.
            HostAnswerError: it said more than a megabyte.
        """
        code, said, err = await self._answer(argv, seconds, stdin, _OUTPUT_BYTES)
        return Ran(code, said.decode(errors="replace"), err)

    async def run_bytes(self, argv: Sequence[str], *, seconds: float, stdin: bytes, most: int) -> int:
        """The same for a program that says up to `most` bytes of no meaning; how many came."""
        _, said, _ = await self._answer(argv, seconds, stdin, most)
        return len(said)

    @asynccontextmanager
    async def _sftp(self, what: str, seconds: float) -> AsyncIterator[asyncssh.SFTPClient]:
        async with self._short, speaking(self, what, seconds), self._connection.start_sftp_client() as sftp:
            yield sftp

    async def _answer(self, argv: Sequence[str], seconds: float, stdin: bytes, most: int) -> tuple[int, bytes, str]:
        async with self._short:
            return await self._answered(argv, seconds, stdin, most)

    async def _answered(self, argv: Sequence[str], seconds: float, stdin: bytes, most: int) -> tuple[int, bytes, str]:
        process = await self.start(argv)
        try:
            async with speaking(self, f"end of {argv[0]}", seconds):
                return await process.answer(stdin, most)
        except BaseException:
            with contextlib.suppress(HostError):
                await to_the_end(process.kill(_KILL_SECONDS))
            raise
        finally:
            process.forget()

    async def bare(self, command: str) -> None:
        """Run a command line of a few milliseconds and wait for its end; for what ends programs itself."""
        async with self._bare:
            ran = await self._connection.run(command, stdout=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL)
        if ran.returncode != 0:
            raise HostRefusedError(f"{self.name}: {shlex.split(command)[0]} ended with {ran.returncode}")

    async def home(self) -> str:
        """The home directory there, absolute.

        Raises:
            HostLostError: the connection is gone.
            HostAnswerError: it is no path.
        """
        ran = await self.run(["sh", "-c", 'printf %s "$HOME"'], seconds=_START_SECONDS)
        if not ran.out.startswith("/") or not ran.out.isprintable():
            raise HostAnswerError(f"{self.name} has the home directory {ran.out[:80]!r}, which is no path")
        return ran.out.rstrip("/") or "/"

    async def put(self, directory: str, files: Mapping[str, Path | bytes], *, seconds: float = 600.0) -> None:
        """Write files below `directory` there; names are relative, folders are made.

        Raises:
            HostLostError: the connection is gone, or it took too long.
            HostRefusedError: the host could not write, such as for want of space.
        """
        async with self._sftp(f"file in {directory}", seconds) as sftp:
            await transfers.put(sftp, directory, files)

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
        async with self._sftp(f"file of {directory}", seconds) as sftp:
            return await transfers.get(sftp, directory, local, names=names, extent=extent or Extent(), host=self.name)

    async def remove(self, directory: str, *, seconds: float = 60.0) -> None:
        """Delete a directory there with all that is in it; no error where there is none."""
        await self.run(["rm", "-rf", "--", directory], seconds=seconds)

    async def aclose(self) -> None:
        """Close the connection; repeatable, quick with a dead host. Remote processes are not ended by it."""
        self._connection.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._connection.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            self._connection.abort()
