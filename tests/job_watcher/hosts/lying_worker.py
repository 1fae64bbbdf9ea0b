"""A host whose worker says whatever a test wants: a hostile peer on the wire, without a process."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

from job_watcher.hosts.errors import HostLostError
from tests.job_watcher.hosts.local_host import LocalHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.job_watcher.hosts.local_host import Nursery


def event(kind: str, job: str = "job-0000001", **parts: Any) -> str:
    """One line."""
    return json.dumps({"event": kind, "request_id": job, **parts})


def file(name: str, content: bytes, kind: str = "take", **other: Any) -> dict[str, Any]:
    """A claim."""
    return {"name": name, "kind": kind, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **other}


class LyingProcess:
    """Says the lines that its script has for each order."""

    def __init__(self, script: Callable[[dict[str, Any]], Iterable[str]]) -> None:
        self._script = script
        self._said: asyncio.Queue[str | None] = asyncio.Queue()
        self._said.put_nowait('{"event":"ready"}')
        self.stderr_tail = ""
        self.killed = False

    async def lines(self) -> AsyncIterator[str]:
        """What it says."""
        while (line := await self._said.get()) is not None:
            yield line

    async def write_line(self, line: str) -> None:
        """Answer an order."""
        if self.killed:
            raise HostLostError("it has ended")
        for said in self._script(json.loads(line)):
            self._said.put_nowait(said)

    async def close_stdin(self) -> None:
        """Say no more."""

    async def wait(self) -> int:
        """Killed."""
        return -9

    async def kill(self, seconds: float = 10.0) -> None:
        """Say no more."""
        assert seconds > 0
        self.killed = True
        self._said.put_nowait(None)


class LyingHost(LocalHost):
    """A directory whose worker follows a script."""

    def __init__(self, root: Path, nursery: Nursery, script: Callable[[dict[str, Any]], Iterable[str]]) -> None:
        super().__init__(root, nursery)
        self._script = script

    async def start(  # type: ignore[override]  # another kind of process
        self, argv: Sequence[str], *, cwd: str | None = None, environment: Mapping[str, str] | None = None
    ) -> LyingProcess:
        """Begin to lie."""
        assert argv
        assert cwd
        assert environment
        return LyingProcess(self._script)
