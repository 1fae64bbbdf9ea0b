"""Reads a growing append-only file as the complete history of a queue: every step, in the order of the server.

The server writes what a script changed as one block (MULTI … EXEC), before anybody is answered; so the file shows
each step whole, and misses none. `AofReader` cuts the file into blocks, `operations` makes of a block the few words
that a checker needs. Knows the keys by the contract; no connection is needed, so no fault of a wire disturbs it.
"""

from __future__ import annotations

import itertools
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


class UnknownCommandError(Exception):
    """A command that nobody has taught the checker changed a key that it checks."""

    def __init__(self, word: bytes, place: str) -> None:
        super().__init__(f"{word.decode(errors='replace')} on {place}: say in aof.py what that changes")


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
    sweep time · due id score|None · kept id bool · held lane entry consumer|None · forgot lane consumer|None (all).

    `replay.Replay` hears each of them. A command that it does not know, on a key that is checked, is an error: a
    script that began to write in another way must not switch a check off.
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
        """What a block changed, in order; of what nobody checks nothing is said.

        Raises:
            UnknownCommandError: see there.

        """
        return [operation for command in block for operation in self._of(command)]

    def _of(self, command: Command) -> Iterator[Operation]:
        if len(command) < 2:
            return
        word, key = command[0].upper(), text(command[2 if command[0].upper() == b"XGROUP" else 1])
        name = self._names.get(key, "")
        if name in self._hashes or name in {"lock", "sweep", "counters"}:
            yield from self._hash(word, name, command)
        elif name in {"sessions", "due"}:
            yield from _zset(word, name, command)
        elif name == "fence" and word == b"SET":
            yield ["fence", text(command[2])]
        elif not name and key.startswith(self._streams):
            yield from _stream(word, key.removeprefix(self._streams), command)
        elif name == "fence":
            raise UnknownCommandError(word, name)

    def _hash(self, word: bytes, name: str, command: Command) -> Iterator[Operation]:
        say, rest = self._hashes.get(name), command[2:]
        if say and word == b"HDEL":
            yield from (say(text(field), None) for field in rest)
        elif say and word in {b"HSET", b"HMSET"}:
            yield from (say(field, value) for field, value in dict(_pairs(rest)).items())
        elif name == "counters" and word == b"HINCRBY":
            yield ["count", text(rest[0]), int(rest[1])]
        elif name == "lock" and word in {b"DEL", b"UNLINK"}:
            yield ["lead", None, None]
        elif name == "lock" and word == b"HSET":
            values = dict(_pairs(rest))
            yield ["lead", values.get("session"), values.get("epoch")]
        elif name == "sweep" and word == b"HSET":
            yield from (["sweep", int(value)] for field, value in _pairs(rest) if field == "at")
        else:
            raise UnknownCommandError(word, name)


def _stream(word: bytes, stream: str, command: Command) -> Iterator[Operation]:
    """Entries and their deliveries: a read through a group is written as the claim of each entry."""
    match word:
        case b"XADD":
            entry, fields = _xadd(command)
            yield ["entry", stream, entry, fields.get("id"), fields.get("gen")]
        case b"XDEL":
            yield from (["gone", stream, text(entry)] for entry in command[2:])
        case b"XACK":
            yield from (["held", stream, text(entry), None] for entry in command[3:])
        case b"XCLAIM":
            claimed = itertools.takewhile(lambda entry: b"-" in entry, command[5:])
            yield from (["held", stream, text(entry), text(command[3])] for entry in claimed)
        case b"XGROUP":
            yield from _group(command[1].upper(), stream, command)
        case _:
            raise UnknownCommandError(word, stream)


def _group(word: bytes, stream: str, command: Command) -> Iterator[Operation]:
    if word == b"DESTROY":
        yield ["forgot", stream, None]
    elif word == b"DELCONSUMER":
        yield ["forgot", stream, text(command[4])]
    elif word not in {b"CREATE", b"CREATECONSUMER", b"SETID"}:
        raise UnknownCommandError(b"XGROUP " + word, stream)


def _zset(word: bytes, name: str, command: Command) -> Iterator[Operation]:
    kind = "session" if name == "sessions" else "due"
    if word == b"ZREM":
        yield from ([kind, text(member), None] for member in command[2:])
    elif word == b"ZADD":
        rest = [each for each in command[2:] if each.upper() not in {b"XX", b"NX", b"CH", b"GT", b"LT"}]
        yield from ([kind, member, float(score)] for score, member in _pairs(rest))
    else:
        raise UnknownCommandError(word, name)
