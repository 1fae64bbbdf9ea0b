"""Which names stand more than once in a file, in eight bytes a row, or with other content in several, in twice that.

A file may hold a million rows, and remembering a million names would cost more than the file. So hashes are kept
while the rows pass, sorted at the end, and only the names of equal hashes are looked up by a second reading.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Final

# Sorted one after the other, so that the sort needs a list of only a part of all hashes at a time.
_BUCKETS: Final = 16


class NameTally:
    """Counts names by their hash."""

    def __init__(self) -> None:
        self._buckets = tuple(array("q") for _ in range(_BUCKETS))
        self._adds = tuple(bucket.append for bucket in self._buckets)

    def add(self, name: str) -> None:
        """One more row has this name."""
        code = hash(name)
        self._adds[code % _BUCKETS](code)

    def suspects(self) -> frozenset[int]:
        """The hashes that came more than once; names of other hashes are certainly unique."""
        found: set[int] = set()
        for bucket in self._buckets:
            ordered = sorted(bucket)
            found.update(code for code, following in pairwise(ordered) if code == following)
        return frozenset(found)


class ContentTally:
    """Which names came with more than one content, by the hashes of both."""

    def __init__(self) -> None:
        self._names, self._contents = array("q"), array("q")

    def add(self, name: str, content: str) -> None:
        """One more row has this name and content."""
        self._names.append(hash(name))
        self._contents.append(hash(content))

    def suspects(self) -> frozenset[int]:
        """The hashes of names that came with two contents; every other name has certainly one."""
        ordered = sorted(zip(self._names, self._contents, strict=True))
        return frozenset(
            name for (name, content), (following, other) in pairwise(ordered) if name == following and content != other
        )
