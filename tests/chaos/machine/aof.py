"""Reads a growing append-only file as the complete history of a queue: every step, in the order of the server.

The server writes what a script changed as one block (MULTI … EXEC), before anybody is answered; so the file shows
each step whole, and misses none. `AofReader` cuts the file into blocks, `operations` makes of a block the few words
that a checker needs. Knows the keys by the contract; no connection is needed, so no fault of a wire disturbs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue.keys import Keys
from tests.conformance.truth import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Command = list[bytes]
Block = list[Command]
Operation = list[Any]
"""A word for what changed, then its values; see `operations`."""


class BrokenFileError(Exception):
    """The file became shorter than what was read of it: steps that were answered are gone."""


class AofReader:
    """Reads on from where it stopped; an unfinished block at the end is left for the next time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0

    def read(self) -> list[Block]:
        """The blocks that were completed since the last call.

        Raises:
            BrokenFileError: see there.

        """
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            if file.seek(0, 2) < self.position:
                raise BrokenFileError(f"{self.path.name} ends at {file.tell()}, and was read up to {self.position}")
            file.seek(self.position)
            data = file.read()
        blocks, used = split(data)
        self.position += used
        return blocks


def split(data: bytes) -> tuple[list[Block], int]:
    """The complete blocks at the head of `data`, and how many bytes they take."""
    blocks: list[Block] = []
    used = position = 0
    inside: Block | None = None
    while (found := _command(data, position)) is not None:
        command, position = found
        word = command[0].upper() if command else b""
        if word == b"MULTI":
            inside = []
        elif word == b"EXEC":
            blocks.append(inside or [])
            inside = None
        elif inside is not None:
            inside.append(command)
        elif command:
            blocks.append([command])
        if inside is None:
            used = position
    return blocks, used


def _command(data: bytes, position: int) -> tuple[Command, int] | None:
    """One command and where it ends; None when it is not all there. An annotation (`#TS:…`) is an empty command."""
    end = data.find(b"\r\n", position)
    if end < 0:
        return None
    if data[position : position + 1] != b"*":
        return [], end + 2
    words: Command = []
    count = int(data[position + 1 : end])
    position = end + 2
    for _ in range(count):
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        begin = end + 2
        position = begin + int(data[position + 1 : end]) + 2
        if position > len(data):
            return None
        words.append(data[begin : position - 2])
    return words, position


def _pairs(words: Command) -> Iterator[tuple[str, str]]:
    yield from zip(map(text, words[::2]), map(text, words[1::2]), strict=False)


def _xadd(words: Command) -> tuple[str, dict[str, str]]:
    """The id and the fields of an XADD, whose options stand before the id."""
    at = 2
    while words[at].upper() in {b"MAXLEN", b"MINID", b"NOMKSTREAM", b"=", b"~", b"LIMIT"}:
        at += 1 if words[at].upper() == b"NOMKSTREAM" else 3 if words[at + 1] in {b"=", b"~"} else 2
    return text(words[at]), dict(_pairs(words[at + 1 :]))


class Vocabulary:
    """Turns the commands of one queue into operations, a word and its values each.

    row id raw|None · record id "result"|"failed" raw|None · session id expiry|None · lead session epoch|None ·
    key name holder|None · entry stream id request_id generation · gone stream id · fence value · count name by ·
    sweep time · told kind time · due id score|None · kept id bool · held lane entry consumer|None ·
    forgot lane consumer|None (all) · removed key.
    """

    def __init__(self, prefix: str) -> None:
        keys = Keys(prefix)
        self._names = {key: name for name, key in keys.all_fixed().items()}
        self._streams = keys.stream("")
        hashes: dict[str, Callable[[str, str | None], Operation]] = {
            "index": lambda field, value: ["row", field, value],
            "result": lambda field, value: ["record", field, "result", value],
            "failed": lambda field, value: ["record", field, "failed", value],
            "key": lambda field, value: ["key", field, value],
            "delayed": lambda field, value: ["kept", field, value is not None],
        }
        self._hashes: Final = hashes

    def operations(self, block: Block) -> list[Operation]:
        """What a block changed, in order; of what nobody checks nothing is said."""
        return [operation for command in block for operation in self._of(command)]

    def _of(self, command: Command) -> Iterator[Operation]:
        if len(command) < 2:
            return
        word, key = command[0].upper(), text(command[1])
        name = self._names.get(key, "")
        if word in {b"HSET", b"HMSET", b"HDEL"}:
            yield from self._hash(word, name, command[2:])
        elif word in {b"ZADD", b"ZREM"}:
            yield from _zset(word, name, command)
        elif word in {b"XCLAIM", b"XACK", b"XGROUP"}:
            yield from self._group(word, command)
        elif word in {b"XADD", b"XDEL"}:
            yield from self._stream(word, name, key, command)
        elif word == b"HINCRBY" and name == "counters":
            yield ["count", text(command[2]), int(command[3])]
        elif word == b"SET" and name == "fence":
            yield ["fence", text(command[2])]
        elif word in {b"DEL", b"UNLINK"}:
            yield from ([["lead", None, None]] if name == "lock" else [["removed", key]])

    def _hash(self, word: bytes, name: str, rest: Command) -> Iterator[Operation]:
        say = self._hashes.get(name)
        if word == b"HDEL":
            if say:
                yield from (say(text(field), None) for field in rest)
            return
        values = dict(_pairs(rest))
        if say:
            yield from (say(field, value) for field, value in values.items())
        elif name == "lock":
            yield ["lead", values.get("session"), values.get("epoch")]
        elif name == "sweep" and "at" in values:
            yield ["sweep", int(values["at"])]

    def _stream(self, word: bytes, name: str, key: str, command: Command) -> Iterator[Operation]:
        if name == "events" and word == b"XADD":
            entry, fields = _xadd(command)
            yield ["told", fields.get("type", ""), int(entry.partition("-")[0])]
        elif not name and key.startswith(self._streams):
            stream = key.removeprefix(self._streams)
            if word == b"XADD":
                entry, fields = _xadd(command)
                yield ["entry", stream, entry, fields.get("id"), fields.get("gen")]
            else:
                yield from (["gone", stream, text(entry)] for entry in command[2:])

    def _group(self, word: bytes, command: Command) -> Iterator[Operation]:
        """Deliveries: a read through a group is written as the claim of each entry."""
        if word == b"XGROUP":
            if command[1].upper() == b"DESTROY":
                yield ["forgot", text(command[2]).removeprefix(self._streams), None]
            elif command[1].upper() == b"DELCONSUMER":
                yield ["forgot", text(command[2]).removeprefix(self._streams), text(command[4])]
            return
        lane = text(command[1]).removeprefix(self._streams)
        if word == b"XACK":
            yield from (["held", lane, text(entry), None] for entry in command[3:])
            return
        for entry in command[5:]:
            if b"-" not in entry:
                break
            yield ["held", lane, text(entry), text(command[3])]


def _zset(word: bytes, name: str, command: Command) -> Iterator[Operation]:
    if name not in {"sessions", "due"}:
        return
    kind = "session" if name == "sessions" else "due"
    if word == b"ZREM":
        yield from ([kind, text(member), None] for member in command[2:])
        return
    rest = [each for each in command[2:] if each.upper() not in {b"XX", b"NX", b"CH", b"GT", b"LT"}]
    yield from ([kind, member, float(score)] for score, member in _pairs(rest))
