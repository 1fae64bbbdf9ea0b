"""A program that runs on a host: its lines, its end, and its real end.

sshd leaves a program running when the connection closes, and a signal through ssh reaches nobody. So each is the leader
of a session of its own, which tells its process group first, and bears a mark in its environment; it is killed by a
second command, which also proves that nothing of it is left. Made by `Host.start`.

Limit: a process there that both starts a session of its own and clears its environment is not found.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncssh

from job_watcher.hosts.errors import HostAnswerError, HostLostError
from job_watcher.hosts.speaking import speaking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from job_watcher.hosts.host import Host

LINE_BYTES: Final = 1024 * 1024
"""A longer line is no event of a worker but a host that wants our memory."""

MARK: Final = "JOB_RUNNER_PROCESS"
"""The variable by which what a program started is found, whatever group it is in."""

_READ_BYTES: Final = 64 * 1024
_TAIL_BYTES: Final = 8 * 1024
_SIGNAL_BASE: Final = 128
# The number of a process group: no more digits than any Linux has.
_PID_DIGITS: Final = 10

# The outer shell waits, for the code of a program that dies by a signal; it holds none of the program's pipes, so that
# their ends are seen. A background program's stdin is /dev/null unless it is given another number first.
_START: Final = """\
cd -- "$1" || exit 126
shift
exec 3<&0
setsid sh -c 'echo $$; exec "$@"' sh "$@" <&3 3<&- &
exec 0<&- 1>&- 3<&-
wait $!"""

# Those of the group, and whoever bears the mark; what is dead and only not yet collected is none of them. A leader that
# has ended cannot be there again: who bears its number then is a stranger, and so is his group.
_KILL: Final = """\
group=$1 mark=$2 ended=$3
if [ "$ended" = yes ] && [ -d "/proc/$group" ]; then group=none; fi
members() {
  for stat in /proc/[0-9]*/stat; do
    { IFS= read -r line <"$stat"; } 2>/dev/null || continue
    number=${stat#/proc/}
    set -- ${line##*) }
    [ "$3" = "$group" ] && [ "$1" != Z ] && [ "$1" != X ] && echo "${number%/stat}"
  done
  LC_ALL=C grep -lsF "$mark" /proc/[0-9]*/environ | while IFS= read -r found; do
    found=${found#/proc/}
    echo "${found%/environ}"
  done
}
while :; do
  [ "$group" = none ] || kill -KILL -- "-$group" 2>/dev/null
  left=$(members)
  [ -n "$left" ] || exit 0
  kill -KILL $left 2>/dev/null
  sleep 0.02 2>/dev/null || sleep 1
done"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a short program answered; `code` is as subprocess has it, negative for a signal."""

    code: int
    out: str
    err: str


def start_command(argv: Sequence[str], mark: str, cwd: str | None, environment: Mapping[str, str]) -> str:
    """The one line that a login shell of any kind runs; every word of it is quoted."""
    variables = [f"{name}={value}" for name, value in {**environment, MARK: mark}.items()]
    return "exec " + shlex.join(["sh", "-c", _START, "sh", cwd or ".", "env", *variables, *argv])


def kill_command(group: int, mark: str, *, ended: bool) -> str:
    """The line that ends a program and all that it started; it returns when nothing is left."""
    return shlex.join(["sh", "-c", _KILL, "sh", str(group), f"{MARK}={mark}", "yes" if ended else "no"])


class RemoteProcess:
    """A program that was started on a host; `pid` is its leader's, which is its process group's number too."""

    def __init__(self, host: Host, process: asyncssh.SSHClientProcess[bytes], mark: str) -> None:
        self.pid = 0
        self._host = host
        self._process = process
        self._mark = mark
        self._rest = b""
        self._read_by_someone = False
        self._tail: deque[bytes] = deque()
        self._listening = asyncio.create_task(self._keep_stderr(), name=f"stderr of {host.name}")

    async def begin(self, seconds: float) -> None:
        """Read the number of its process group, which comes first.

        Raises:
            HostLostError: nothing came.
            HostAnswerError: something else came, or nothing was started.
        """
        async with speaking(self._host, "start of a program", seconds):
            line = await self._line()
            if line is None:
                await self._process.wait_closed()
                self._complain_if_lost("start of a program")
                raise HostAnswerError(f"{self._host.name} started nothing: {self.stderr_tail.strip() or 'no word why'}")
            if not line.isdigit() or len(line) > _PID_DIGITS or int(line) <= 1:
                raise HostAnswerError(f"{self._host.name} began with {line[:80]!r}, which is no process")
            self.pid = int(line)

    async def lines(self) -> AsyncIterator[str]:
        """What it says on stdout, line by line, without the newline; ends with the program. To be read once.

        Raises:
            HostLostError: the connection broke.
            HostAnswerError: a line is longer than LINE_BYTES.
        """
        self._read_by_someone = True
        while True:
            async with speaking(self._host, "line of a program"):
                line = await self._line()
            if line is None:
                break
            yield line
        self._complain_if_lost("end of a program")

    @property
    def stderr_tail(self) -> str:
        """The last few kilobytes of stderr so far."""
        return b"".join(self._tail)[-_TAIL_BYTES:].decode(errors="replace")

    async def write_line(self, line: str) -> None:
        """Send one line to stdin; waits while the program does not read. To one that has ended it does nothing.

        Raises:
            HostLostError: the connection broke.
        """
        async with speaking(self._host, "word to a program"):
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line.encode() + b"\n")
                await self._process.stdin.drain()
        self._complain_if_lost("word to a program")

    async def close_stdin(self) -> None:
        """End its input; repeatable, and no error where it is gone."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._process.stdin.write_eof()

    async def wait(self) -> int:
        """Its exit code, negative for a signal. What nobody reads of its stdout is dropped.

        Raises:
            HostLostError: the connection broke before it ended; whether it runs on is unknown.
        """
        async with speaking(self._host, "end of a program"):
            # What is not read keeps the channel open.
            while not self._read_by_someone and await self._process.stdout.read(_READ_BYTES):
                pass
            await self._process.wait_closed()
        await asyncio.wait([self._listening])
        code = self._code()
        if code is None:
            raise HostLostError(f"the connection to {self._host.name} broke: the end of a program is unknown")
        return code

    async def answer(self, stdin: bytes, most: int) -> tuple[int, bytes, str]:
        """Its code and all that it says to `stdin`, which is closed; for `Host.run`, which sets the time.

        Raises:
            HostLostError: the connection broke.
            HostAnswerError: it said more than `most` bytes.
        """
        self._read_by_someone = True
        asking = asyncio.create_task(self._feed(stdin), name=f"stdin of {self._host.name}")
        try:
            said = bytearray(self._rest)
            while data := await self._process.stdout.read(_READ_BYTES):
                said += data
                if len(said) > most:
                    raise HostAnswerError(f"{self._host.name} said more than {most} bytes")
            code = await self.wait()
        finally:
            asking.cancel()
        return code, bytes(said), self.stderr_tail

    async def kill(self, seconds: float = 10.0) -> None:
        """End it and all that it started, and return when nothing of it is left. No error where it has ended.

        Raises:
            HostLostError: the connection broke, or something still runs after `seconds`.
        """
        command = kill_command(self.pid, self._mark, ended=self._code() is not None)
        async with speaking(self._host, "end of a program", seconds):
            await self._host.bare(command)

    def forget(self) -> None:
        """Close our end; what runs there is not touched."""
        self._listening.cancel()
        self._process.close()

    def _code(self) -> int | None:
        status = self._process.exit_status
        if status is None:
            # A signal that sshd tells of has ended the outer shell, not the program.
            return None if self._process.exit_signal is None else -1
        return _SIGNAL_BASE - status if status > _SIGNAL_BASE else status

    def _complain_if_lost(self, what: str) -> None:
        if self._host.lost.is_set() and self._code() is None:
            raise HostLostError(f"the connection to {self._host.name} broke: no {what}")

    async def _line(self) -> str | None:
        """The next line; None at the end. What follows the last newline counts as a line."""
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > LINE_BYTES:
                raise HostAnswerError(f"{self._host.name} sent a line of more than {LINE_BYTES} bytes")
            data = await self._process.stdout.read(_READ_BYTES)
            if not data:
                last, self._rest = self._rest, b""
                return last.decode(errors="replace") if last else None
            self._rest += data
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        if len(line) > LINE_BYTES:
            raise HostAnswerError(f"{self._host.name} sent a line of more than {LINE_BYTES} bytes")
        return line.decode(errors="replace")

    async def _feed(self, stdin: bytes) -> None:
        # A program that reads nothing, or ends before it has read all, is no fault.
        with contextlib.suppress(asyncssh.Error, OSError):
            self._process.stdin.write(stdin)
            await self._process.stdin.drain()
            self._process.stdin.write_eof()

    async def _keep_stderr(self) -> None:
        held = 0
        with contextlib.suppress(asyncssh.Error, OSError):
            while data := await self._process.stderr.read(_READ_BYTES):
                self._tail.append(data)
                held += len(data)
                while held - len(self._tail[0]) >= _TAIL_BYTES:
                    held -= len(self._tail.popleft())
