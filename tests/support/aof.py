"""An append-only file as tests need it: where each change ends in it, and the file without its tail.

A crash of the machine leaves the beginning of the file: whole changes, and perhaps a part of the next. The tests of
lost tails cut it there. Knows nothing of the queue.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.servers import START_DEADLINE_SECONDS, ServerFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers import RealServer

Command = tuple[bytes, ...]

_PAUSE_SECONDS = 0.005


@dataclass(frozen=True)
class Change:
    """What the server applied in one step, and where its last byte stands in the file."""

    commands: tuple[Command, ...]
    """More than one where the file has them between MULTI and EXEC; these two are left out."""
    end: int


def growing_file(server: RealServer) -> Path:
    """The one that grows."""
    (found,) = server.aof_dir.glob("*.incr.aof")
    return found


def written(server: RealServer) -> int:
    """Bytes in it by now."""
    return growing_file(server).stat().st_size


def cut(server: RealServer, at: int) -> None:
    """SIGKILL it, lose everything from byte `at` on, and start it again; back when it has read what is left."""
    server.kill()
    os.truncate(growing_file(server), at)
    server.start()
    end = time.monotonic() + START_DEADLINE_SECONDS
    # At the beginning of its line: `async_loading:0` stands there always.
    while b"\nloading:0" not in server.command("INFO", "persistence"):
        if time.monotonic() > end:
            raise ServerFailedError(f"{server.name} on port {server.port} still reads its file")
        time.sleep(_PAUSE_SECONDS)


def changes(file: Path) -> list[Change]:
    """Every change in it, oldest first."""
    found: list[Change] = []
    inside: list[Command] | None = None
    for command, end in _commands(file.read_bytes()):
        match command[0].upper():
            case b"MULTI":
                inside = []
            case b"EXEC":
                found.append(Change(tuple(inside or ()), end))
                inside = None
            case _ if inside is not None:
                inside.append(command)
            case _:
                found.append(Change((command,), end))
    return found


def _commands(raw: bytes) -> Iterator[tuple[Command, int]]:
    at = 0
    while at < len(raw):
        count, at = _number(raw, at, b"*")
        words: list[bytes] = []
        for _ in range(count):
            length, at = _number(raw, at, b"$")
            words.append(raw[at : at + length])
            at += length + 2
        yield tuple(words), at


def _number(raw: bytes, at: int, sign: bytes) -> tuple[int, int]:
    end = raw.index(b"\r\n", at)
    assert raw[at : at + 1] == sign, raw[at : end + 40]
    return int(raw[at + 1 : end]), end + 2
