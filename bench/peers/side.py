"""A peer's side of the comparison: the trace of its bodies, and the words by which `bench.peers.measuring` drives it.

Runs under the peer's own Python, so it imports nothing beyond the standard library. Each `<name>_side.py` gives a
`Side` to `main`. Every body writes into one shared file when it began and when it ended, whatever process it runs in;
from that file alone it is judged what ran, when, and how often.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import sys
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:1/0")
SLOTS = int(os.environ.get("BENCH_SLOTS", "1"))
CLAIM_SECONDS = int(os.environ.get("BENCH_CLAIM_SECONDS", "0"))
"""After how long a dead worker's job is to be claimed, where a peer can be told so; 0: its default."""

PAUSE_SECONDS = 0.01
_LOOK_SECONDS = 0.0005
_ROW = struct.Struct("<qqII")


class Trace:
    """One row a job: when it last began and ended (nanoseconds, monotonic), and how often each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @classmethod
    def made(cls, path: Path, count: int) -> Trace:
        """An empty one for so many jobs."""
        path.write_bytes(bytes(_ROW.size * count))
        return cls(path)

    def __len__(self) -> int:
        return len(self._map) // _ROW.size

    def began(self, number: int) -> None:
        """The body of this job begins now."""
        _, ended, begins, ends = self.row(number)
        _ROW.pack_into(self._map, number * _ROW.size, time.monotonic_ns(), ended, begins + 1, ends)

    def ended(self, number: int) -> None:
        """It ends now."""
        began, _, begins, ends = self.row(number)
        _ROW.pack_into(self._map, number * _ROW.size, began, time.monotonic_ns(), begins, ends + 1)

    def row(self, number: int) -> tuple[int, int, int, int]:
        """Began, ended, times begun, times ended."""
        began, ended, begins, ends = _ROW.unpack_from(self._map, number * _ROW.size)
        return began, ended, begins, ends

    def rows(self, count: int | None = None) -> list[tuple[int, int, int, int]]:
        """Of the first `count` jobs, or of all."""
        return [self.row(number) for number in range(len(self) if count is None else count)]


_traces: dict[int, Trace] = {}


def trace() -> Trace:
    """Of this process, opened at its first job; a forked child opens its own."""
    found = _traces.get(os.getpid())
    if found is None:
        found = _traces[os.getpid()] = Trace(Path(os.environ["BENCH_TRACE"]))
    return found


def body(number: int, seconds: float) -> None:
    """What every peer's job does."""
    trace().began(number)
    if seconds:
        time.sleep(seconds)
    trace().ended(number)


async def async_body(number: int, seconds: float) -> None:
    """The same for those that await."""
    trace().began(number)
    if seconds:
        await asyncio.sleep(seconds)
    trace().ended(number)


@dataclass(frozen=True)
class Side:
    """What a peer can do. `one` submits a job, `bulk` many by the best means it has; both sync or both async."""

    one: Callable[[int, float], Any]
    bulk: Callable[[Sequence[int], float], Any]
    worker: Callable[[], object]
    opened: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


def main(side: Side) -> None:
    """`submit one|bulk|ping FIRST COUNT SECONDS` prints JSON; `worker` works until it is ended."""
    if sys.argv[1] == "worker":
        side.worker()
        return
    way, first, count, seconds = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    print(json.dumps(asyncio.run(_submitted(side, way, range(first, first + count), seconds))))


async def _submitted(side: Side, way: str, numbers: range, seconds: float) -> dict[str, Any]:
    async with side.opened():
        if way == "ping":
            return {"to_body_ms": [await _pinged(side, number) for number in numbers]}
        begun = time.perf_counter()
        if way == "bulk":
            await _done(side.bulk(numbers, seconds))
        else:
            for number in numbers:
                await _done(side.one(number, seconds))
        return {"seconds": time.perf_counter() - begun}


async def _pinged(side: Side, number: int) -> float:
    """Milliseconds from submit to body. Looking is no part of it: the body writes down its own time."""
    begun = time.monotonic_ns()
    await _done(side.one(number, 0.0))
    while not trace().row(number)[1]:  # noqa: ASYNC110 - another process writes the trace
        await asyncio.sleep(_LOOK_SECONDS)
    await asyncio.sleep(PAUSE_SECONDS)
    return (trace().row(number)[0] - begun) / 1e6


async def _done(answer: Awaitable[object] | object) -> None:
    if hasattr(answer, "__await__"):
        await answer
