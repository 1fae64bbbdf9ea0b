"""Loads the Lua files and calls them by name, with named arguments.

The header of a Lua file is the truth about it: `KEYS` names fixed keys (see keys.py), `STREAMS` says which of the
intakes and lanes it is given, `ARGV` its scalar arguments, `EACH` the fields of one row of a batch, `COMMON` what
neighbouring rows share, `INCLUDE` the shared parts. From it this module makes the script's first lines: a
table `K` of keys, the map `STREAM` from relative to full names with the lists `INTAKES` and `LANES`, a local for each
argument, `ROWS` and `row_args(i)`, `COMMONS` and `common_args(i)` for `count` rows each, and a check that every key
has the type that keys.py declares, so that no script fails after its first write.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from lib.errors import QueueError
from lib.redisqueue.calls import Call, OneAhead, answered, borrowed
from lib.redisqueue.connection import Client, edge
from lib.redisqueue.keys import Keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from lib.redisqueue.calls import Argument

_HEADER_LINE = re.compile(r"^-- (KEYS|STREAMS|ARGV|COMMON|EACH|INCLUDE): (.*)$", re.MULTILINE)
_LUA: Final = resources.files("lib.redisqueue") / "lua"


@dataclass(frozen=True, slots=True)
class Header:
    """What a Lua file says about itself."""

    keys: tuple[str, ...]
    streams: tuple[str, ...]
    argv: tuple[str, ...]
    each: tuple[str, ...]
    includes: tuple[str, ...]
    common: tuple[str, ...] = ()


def parse_header(source: str) -> Header:
    """The header of a Lua file."""
    found: dict[str, list[str]] = {}
    for kind, words in _HEADER_LINE.findall(source):
        found.setdefault(kind, []).extend(words.split())
    return Header(
        keys=tuple(found.get("KEYS", ())),
        streams=tuple(found.get("STREAMS", ())),
        argv=tuple(found.get("ARGV", ())),
        each=tuple(found.get("EACH", ())),
        includes=tuple(found.get("INCLUDE", ())),
        common=tuple(found.get("COMMON", ())),
    )


def prelude(header: Header) -> str:
    """The generated first lines of a script."""
    tail = Keys().of(header.keys[0]).removeprefix("pab:")
    lines = [
        "local K = {" + ", ".join(f"{name} = KEYS[{i}]" for i, name in enumerate(header.keys, 1)) + "}",
        "local KINDS = {" + ", ".join(f"'{Keys.type_of(name)}'" for name in header.keys) + "}",
        "for i, key in ipairs(KEYS) do",
        "  local kind = redis.call('TYPE', key)['ok']",
        "  local wanted = KINDS[i] or 'stream'",
        "  if kind ~= 'none' and kind ~= wanted then",
        "    return redis.error_reply('WRONGKEY ' .. key .. ' holds a ' .. kind .. ', not a ' .. wanted)",
        "  end",
        "end",
    ]
    first = 1
    if header.streams:
        lines += [
            "local STREAM, INTAKES, LANES = {}, {}, {}",
            f"local BASE = #KEYS[1] - {len(tail)} + {len('jobs:')} + 1",
            f"for i = {len(header.keys)} + 1, #KEYS do",
            "  local name = string.sub(KEYS[i], BASE)",
            "  STREAM[name] = KEYS[i]",
            f"  local list = i <= {len(header.keys)} + tonumber(ARGV[1]) and INTAKES or LANES",
            "  list[#list + 1] = name",
            "end",
        ]
        first = 2
    for i, name in enumerate(header.argv, first):
        lines.append(f"local {name} = ARGV[{i}]")
    start = str(first + len(header.argv) - 1)
    if header.common:
        width = len(header.common) + 1
        lines += [
            f"local COMMONS_AT, COMMONS = {start} + 1, tonumber(ARGV[{start} + 1])",
            *_table_of("common_args", "COMMONS_AT", ("count", *header.common)),
        ]
        start = f"(COMMONS_AT + COMMONS * {width})"
    if header.each:
        lines += [
            f"local ROWS_AT = {start}",
            f"local ROWS = (#ARGV - ROWS_AT) / {len(header.each)}",
            *_table_of("row_args", "ROWS_AT", header.each),
        ]
    return "\n".join(lines) + "\n"


def _table_of(function: str, at: str, fields: Sequence[str]) -> list[str]:
    """A Lua function that gives the i-th group of arguments behind `at` as a table."""
    table = ", ".join(f"{name} = ARGV[at + {i}]" for i, name in enumerate(fields, 1))
    return [
        f"local function {function}(i)",
        f"  local at = {at} + (i - 1) * {len(fields)}",
        f"  return {{{table}}}",
        "end",
    ]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua file with its includes, ready to send."""

    name: str
    header: Header
    text: str
    sha: str


def script_names() -> tuple[str, ...]:
    """The names of all scripts, sorted."""
    return tuple(sorted(item.name.removesuffix(".lua") for item in _LUA.iterdir() if item.name.endswith(".lua")))


@cache
def load(name: str, *, flags: bool = True) -> Script:
    """The script of a name; without `flags` for a server that cannot read a `#!lua` line."""
    source = (_LUA / f"{name}.lua").read_text(encoding="utf-8")
    header = parse_header(source)
    shebang = ""
    if source.startswith("#!"):
        line, _, source = source.partition("\n")
        shebang = f"{line}\n" if flags else ""
    includes = "".join((_LUA / "include" / f"{part}.lua").read_text(encoding="utf-8") for part in header.includes)
    text = f"{shebang}{prelude(header)}{includes}{source}"
    return Script(name, header, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """Calls scripts on one server under one prefix."""

    def __init__(self, client: Client, keys: Keys, url: str, *, flags: bool = True) -> None:
        self._client = client
        self._keys = keys
        self._url = url
        self._flags = flags

    async def call(
        self,
        name: str,
        /,
        *,
        intakes: Sequence[str] = (),
        lanes: Sequence[str] = (),
        rows: Sequence[tuple[Argument, ...]] = (),
        common: Sequence[tuple[Argument, ...]] = (),
        **argv: Argument,
    ) -> Any:
        """Run one script and return its raw reply.

        `rows` are tuples in the order of the header's EACH, `common` in that of its COMMON behind how many rows
        each speaks of.

        Raises:
            UnreachableError, QueueError and its kinds: as the server answers.

        """
        call = self._prepare(name, intakes=intakes, lanes=lanes, rows=rows, common=common, **argv)
        async with edge(self._url):
            async with borrowed(self._client) as connection:
                reply = await answered(connection, call)
            if isinstance(reply, ResponseError):
                raise reply
            return reply

    @asynccontextmanager
    async def one_ahead(self, *, on: Client | None = None) -> AsyncIterator[OneAhead]:
        """Calls over one connection, each sent before the reply to the one before it has come.

        `on` is a client with a single connection, for a caller that needs to know which.

        Raises:
            UnreachableError, QueueError and its kinds: as the server answers.

        """
        async with edge(self._url), borrowed(on or self._client) as connection:
            yield OneAhead(connection, self._prepare)

    def _prepare(
        self,
        name: str,
        /,
        *,
        intakes: Sequence[str] = (),
        lanes: Sequence[str] = (),
        rows: Sequence[tuple[Argument, ...]] = (),
        common: Sequence[tuple[Argument, ...]] = (),
        **argv: Argument,
    ) -> Call:
        script = load(name, flags=self._flags)
        header = script.header
        if tuple(argv) != header.argv:
            raise QueueError(f"script {script.name}: arguments {tuple(argv)} are not {header.argv}")
        keys = [self._keys.of(key) for key in header.keys]
        args: list[Argument] = []
        if header.streams:
            given = {"intakes": intakes, "lanes": lanes}
            args.append(len(intakes) if "intakes" in header.streams else 0)
            keys += [self._keys.stream(stream) for kind in header.streams for stream in given[kind]]
        args += argv.values()
        if header.common:
            args.append(len(common))
            args += _flat(script.name, common, 1 + len(header.common))
        args += _flat(script.name, rows, len(header.each))
        return Call(script.sha, script.text, [len(keys), *keys, *args])


def _flat(name: str, rows: Sequence[tuple[Argument, ...]], width: int) -> list[Argument]:
    for row in rows:
        if len(row) != width:
            raise QueueError(f"script {name}: a row has {len(row)} fields, not {width}")
    return [field for row in rows for field in row]
