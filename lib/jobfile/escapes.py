r"""Characters that JSON writes as two escapes, made one before libyaml sees them.

JSON writers escape an emoji as two halves (`\ud83d\ude00`) unless told otherwise; libyaml reads no such pair. Only
files that begin like JSON are changed: in other YAML the same letters may be meant as they stand. Lines stay where
they are.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

_LIKE_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]\s*[\[{\"\]}]")
# An escape is taken as a whole, so that an escaped backslash before a `u` is not mistaken for one.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD](?P<high>[89abAB][0-9a-fA-F]{2})\\u[dD](?P<low>[c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_PAIR_BYTES: Final = 12
_HEAD_BYTES: Final = 4096


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty at the end."""


class JoinedEscapes:
    """The bytes of `raw`; of a file that begins like JSON, with such pairs as UTF-8."""

    def __init__(self, raw: Readable) -> None:
        self._raw = raw
        self._held = b""
        self._like_json: bool | None = None

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes; empty only at the end."""
        while True:
            fresh = self._raw.read(size)
            if self._like_json is None:
                self._like_json = _LIKE_JSON.match(fresh[:_HEAD_BYTES]) is not None
            if not self._like_json:
                return fresh
            ready = self._joined(self._held + fresh, last=not fresh)
            if ready or not fresh:
                return ready

    def _joined(self, given: bytes, *, last: bool) -> bytes:
        """What of `given` can be handed on; the rest, which may be half a pair, is held for the next read."""
        parts: list[bytes] = []
        done = 0
        for escape in _ESCAPE.finditer(given):
            if not last and escape.start() > len(given) - _PAIR_BYTES:
                break
            if escape["high"] is not None:
                parts += [given[done : escape.start()], _character(escape)]
                done = escape.end()
        end = len(given) if last else self._safe_end(given, done)
        parts.append(given[done:end])
        self._held = given[end:]
        return b"".join(parts)

    @staticmethod
    def _safe_end(given: bytes, done: int) -> int:
        """Up to where no escape is cut: before the first one that stands too near the end to be known whole."""
        for escape in _ESCAPE.finditer(given, done):
            if escape.start() > len(given) - _PAIR_BYTES:
                return escape.start()
        return len(given) - 1 if given.endswith(b"\\") else len(given)


def _character(escape: re.Match[bytes]) -> bytes:
    high, low = (int(escape[half], 16) & 0x3FF for half in ("high", "low"))
    return chr(0x10000 + (high << 10) + low).encode()
