"""The lines of a manifest as bytes and as JSON: bounded, numbered, and strict where JSON readers differ.

A line that is too long is not kept, keys that stand twice and numbers that are none are refused: what one program reads
out of a file must be what every other one does. It knows nothing of tasks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.problems import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.jobfile.source import BoundedStream

_CHUNK_BYTES: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


class BadLineError(Exception):
    """What is wrong with a line; `hopeless` when it is so for every line of the file."""

    def __init__(self, said: str, *, hopeless: bool = False) -> None:
        super().__init__(said)
        self.hopeless = hopeless


class TooLong:
    """A line that was not kept, because it has more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit


def lines_of(stream: BoundedStream, limit: int) -> Iterator[tuple[int, bytes | TooLong]]:
    """The number and bytes of each line that is not blank; memory holds one line and one chunk."""
    number, held, dropped = 1, bytearray(), False
    while chunk := stream.read(_CHUNK_BYTES):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            dropped = dropped or len(held) + len(part) > limit
            line = TooLong(limit) if dropped else _whole(bytes(held) + part, number)
            held.clear()
            dropped = False
            if line:
                yield number, line
            number += 1
        dropped = dropped or len(held) + len(rest) > limit
        if not dropped:
            held += rest
    line = TooLong(limit) if dropped else _whole(bytes(held), number)
    if line:
        yield number, line


def first_line(stream: BoundedStream, limit: int) -> bytes | None:
    """The first line that is not blank; None when there is none, or it is too long."""
    for _, line in lines_of(stream, limit):
        return line if isinstance(line, bytes) else None
    return None


def parsed(line: bytes | TooLong) -> Any:
    """The JSON value of a line.

    Raises:
        BadLineError: there is none in it, or one that readers would take differently.

    """
    if isinstance(line, TooLong):
        raise BadLineError(f"is larger than {line.limit} bytes, which JOBS_MAX_JOB_BYTES allows; make it smaller")
    if line.startswith(_WIDE):
        raise BadLineError("is no UTF-8 but UTF-16; save the file as UTF-8", hopeless=True)
    try:
        return json.loads(line.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except UnicodeDecodeError as exc:
        raise BadLineError(f"is no UTF-8 (byte {exc.start + 1} of the line); save the file as UTF-8") from None
    except json.JSONDecodeError as exc:
        raise BadLineError(_mend(exc, line)) from None
    except RecursionError:
        raise BadLineError("is nested too deep; flatten it") from None
    except ValueError:
        # The only other one that the reader raises: an integer beyond the digits that Python converts.
        raise BadLineError("holds a number of thousands of digits; put it in quotes") from None


def _whole(line: bytes, number: int) -> bytes:
    """The line without what editors put around it; empty when it is blank."""
    if number == 1:
        line = line.removeprefix(_BOM)
    return line.strip(b" \t\r")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadLineError(f"has the key {shown(key)} twice; keep one")
            seen.add(key)
    return found


def _no_number(name: str) -> None:
    raise BadLineError(f"holds {name}, which is no number in JSON; remove it or put it in quotes")


def _mend(exc: json.JSONDecodeError, line: bytes) -> str:
    if exc.msg == "Extra data":
        return f"has more behind its entry (column {exc.colno}); write one entry a line"
    if len(line) <= len("[{") and line[:1] in b"[{":
        return "is no entry; a manifest has each whole entry on one line, without a list around them"
    return f"is no JSON: {exc.msg} (column {exc.colno}); check quotes, commas and brackets"
