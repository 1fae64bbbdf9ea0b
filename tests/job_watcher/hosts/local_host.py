"""A host that is a directory of this machine: real processes and real files, without ssh; and what goes wrong there.

It keeps the promises of `job_watcher.hosts.batch_host`. Its workers come from a nursery, or are any program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from job_watcher.hosts.errors import HostAnswerError, HostLostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from job_watcher.hosts.transfers import Extent


_Pipe = tuple[asyncio.StreamReader, asyncio.ReadTransport]


class Nursery:
    """The process that forks workers."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.job_watcher.hosts.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )

    def fork(self, cwd: Path, environment: Mapping[str, str], ends: Sequence[int]) -> int:
        """A worker's pid; `ends` are its streams and the pipe that is told its end."""
        order = json.dumps({"cwd": str(cwd), "environment": dict(environment)}).encode()
        socket.send_fds(self._orders, [order], list(ends))
        return int(self._orders.recv(64))

    def close(self) -> None:
        """End it."""
        self._orders.close()
        self._process.wait(20)


class LocalProcess:
    """A worker of a nursery."""

    def __init__(self, pid: int, orders: int, said: _Pipe, ended: _Pipe) -> None:
        self.pid = pid
        self._orders = orders
        self._reader, self._said = said
        self._ending, self._end = asyncio.ensure_future(ended[0].read()), ended[1]
        self.code: int | None = None
        self.stderr_tail = ""
        self.told: list[str] = []

    async def lines(self) -> AsyncIterator[str]:
        """What it says."""
        while line := await self._reader.readline():
            yield line.decode().removesuffix("\n")

    async def write_line(self, line: str) -> None:
        """Say something."""
        self.told.append(line)
        try:
            os.write(self._orders, line.encode() + b"\n")
        except OSError as exc:
            raise HostLostError("it has closed stdin") from exc

    async def close_stdin(self) -> None:
        """Say no more."""
        with contextlib.suppress(OSError):
            os.close(self._orders)
        self._orders = -1

    async def wait(self) -> int:
        """Its exit code."""
        self.code = int(await asyncio.shield(self._ending))
        return self.code

    async def kill(self, seconds: float = 10.0) -> None:
        """End its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        async with asyncio.timeout(seconds):
            await self.wait()
        await self.close_stdin()
        self._said.close()
        self._end.close()


class LocalHost:
    """The host in `root`. `tamper` may change a file, given its name, when it is fetched."""

    def __init__(self, root: Path, nursery: Nursery, environments: Sequence[Mapping[str, str]] = ()) -> None:
        """`environments` are added for the first workers, one each."""
        root.mkdir(exist_ok=True)
        self.name = "host-1"
        self.root = root
        self.processes: list[LocalProcess] = []
        self.manifests: list[list[str]] = []
        self.puts: list[str] = []
        self.lost = False
        self.tamper: Callable[[str, bytes], bytes] = lambda _, content: content
        self._nursery = nursery
        self.environments = list(environments)

    async def start(
        self, argv: Sequence[str], *, cwd: str | None = None, environment: Mapping[str, str] | None = None
    ) -> LocalProcess:
        """Fork a worker."""
        assert argv[1:] == ["execute-manifest", ".", "--follow"]
        self._check()
        added = self.environments.pop(0) if self.environments else {}
        pipes = [os.pipe() for _ in range(3)]
        with (self.root / "stderr").open("wb") as errors:
            ends = [pipes[0][0], pipes[1][1], errors.fileno(), pipes[2][1]]
            pid = self._nursery.fork(self.root / (cwd or ""), {**(environment or {}), **added}, ends)
        for end in (pipes[0][0], pipes[1][1], pipes[2][1]):
            os.close(end)
        process = LocalProcess(pid, pipes[0][1], await _opened(pipes[1][0]), await _opened(pipes[2][0]))
        self.processes.append(process)
        return process

    async def put(self, directory: str, files: Mapping[str, Path | bytes], *, seconds: float = 600.0) -> None:
        """Write them."""
        assert seconds > 0
        self._check()
        for name, given in files.items():
            path = self.root / directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(given if isinstance(given, bytes) else given.read_bytes())
            self.puts.append(name)
            if name == "manifest.json":
                self.manifests.append([job["request_id"] for job in json.loads(path.read_bytes())["jobs"]])

    async def get(
        self,
        directory: str,
        local: Path,
        *,
        names: Sequence[str] | None = None,
        extent: Extent | None = None,
        seconds: float = 600.0,
    ) -> Mapping[str, int]:
        """Copy them."""
        assert names is not None
        assert extent is not None
        assert seconds > 0
        self._check()
        for name in names:
            content = self.tamper(name, (self.root / directory / name).read_bytes())
            if len(content) > extent.file_bytes:
                raise HostAnswerError(f"{self.name}: {name} has more than {extent.file_bytes} bytes")
            (local / name).write_bytes(content)
        return {name: (local / name).stat().st_size for name in names}

    async def remove(self, directory: str, *, seconds: float = 60.0) -> None:
        """Delete it."""
        assert seconds > 0
        self._check()
        shutil.rmtree(self.root / directory, ignore_errors=True)

    def lose(self) -> None:
        """Cut the connection: what ran is seen to end, and nothing more is heard."""
        self.lost = True
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    @property
    def living(self) -> list[int]:
        """Workers that run."""
        return [process.pid for process in self.processes if process.code is None]

    def _check(self) -> None:
        if self.lost:
            raise HostLostError(f"the connection to {self.name} is gone")


async def _opened(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=1 << 20)
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(descriptor, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader, transport
