"""Listens by MONITOR who moves jobs to lanes: what a script changed is in the append-only file, who called it is not.

Writes a line for each change of the lead and each call that moved something, in the server's order. What happened while
the connection was broken is missing, so the checker may only trust what it sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.machine.options import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_IN_SCRIPT: Final = b" lua] "
_MOVED: Final = f'"XADD" "{PREFIX}:jobs:lane:'.encode()
_LED: Final = f'"HSET" "{PREFIX}:watcher:lock" '.encode()
_CHUNK_BYTES: Final = 1 << 18
_PAUSE_SECONDS: Final = 0.1


class Listening:
    """Makes of MONITOR's lines what a checker needs; it remembers which call a script's commands belong to."""

    def __init__(self) -> None:
        self._call = b""
        self._told = False

    def heard(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """What these lines say, in order."""
        for line in lines:
            _, inside, said = line.partition(_IN_SCRIPT)
            if not inside or line.find(b'"') < len(line) - len(said):
                self._call, self._told = line, False
            elif said.startswith(_MOVED):
                if not self._told:
                    self._told = True
                    yield from _mover(self._call)
            elif said.startswith(_LED):
                words = _words(said)
                yield {"is": "lead", "session": words[3], "epoch": words[5]}


def _mover(call: bytes) -> Iterator[dict[str, Any]]:
    """Session and epoch of a call of move: `EVALSHA sha keys KEYS… intakes session epoch …`."""
    words = _words(call)
    with contextlib.suppress(IndexError, ValueError):
        first = 3 + int(words[2])
        session, epoch = words[first + 1], words[first + 2]
        if ":" in session and epoch.isdigit():
            yield {"is": "move", "session": session, "epoch": epoch}


def _words(line: bytes) -> list[str]:
    return [word.decode("utf-8", "replace") for word in _WORD.findall(line)]


class Wiretap:
    """A MONITOR connection that comes back after every outage."""

    def __init__(self, port: int, history: Path) -> None:
        self._port = port
        self._history = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(OSError):
                await self._listen()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        listening, rest = Listening(), b""
        try:
            writer.write(b"MONITOR\r\n")
            while chunk := await reader.read(_CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\r\n")
                at = round(time.monotonic(), 4)
                heard = "".join(json.dumps({"at": at, **each}) + "\n" for each in listening.heard(lines))
                if heard:
                    os.write(self._history, heard.encode())
        finally:
            writer.transport.abort()
