"""A program that runs on a host: its lines, its end, and its real end.

sshd leaves a program running when the connection closes, and a signal through ssh reaches nobody. So each is the leader
of a session of its own, which tells its process group first; it is killed by a second command, which also proves that
nothing of it is left. Made by `connection.Host.start`.

Limit: a process there that both starts a session of its own and clears its environment is not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LINE_BYTES: Final = 1024 * 1024
"""A longer line is no event of a worker but a host that wants our memory."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a short program answered; `code` is as subprocess has it, negative for a signal."""

    code: int
    out: str
    err: str


class RemoteProcess:
    """A program that was started on a host."""

    pid: int
    """Of its leader, which is its process group's number."""

    def lines(self) -> AsyncIterator[str]:
        """What it says on stdout, line by line, without the newline; ends when it closes stdout. To be read once.

        Raises:
            HostLostError: the connection broke.
            HostAnswerError: a line is longer than LINE_BYTES.
        """
        raise NotImplementedError

    @property
    def stderr_tail(self) -> str:
        """The last few kilobytes of stderr so far."""
        raise NotImplementedError

    async def write_line(self, line: str) -> None:
        """Send one line to stdin; waits while the program does not read.

        Raises:
            HostLostError: the connection broke, or the program has closed stdin.
        """
        raise NotImplementedError

    async def close_stdin(self) -> None:
        """End its input; repeatable, and no error where it is gone."""
        raise NotImplementedError

    async def wait(self) -> int:
        """Its exit code, negative for a signal.

        Raises:
            HostLostError: the connection broke before it ended; whether it runs on is unknown.
        """
        raise NotImplementedError

    async def kill(self, seconds: float = 10.0) -> None:
        """End it and all that it started, and return when nothing of it is left. No error where it has ended.

        Raises:
            HostLostError: the connection broke, or something still runs after `seconds`.
        """
        raise NotImplementedError
