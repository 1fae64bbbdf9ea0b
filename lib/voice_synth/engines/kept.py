"""The few models of an engine that stay in memory, so that jobs of one voice after another do not load it anew.

An engine with a model a voice holds one of these; it bounds the memory of a process that meets many voices.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Kept(Generic[T]):
    """At most `most` of what `make` gave, by key; the one that was not used for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The one of this key, made if it is not here; room is made before, so that memory never holds one more.

        What `make` raises goes through, and nothing is kept then.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        while len(self._kept) >= self._most:
            self._kept.popitem(last=False)
        made = self._kept[key] = make()
        return made

    def __len__(self) -> int:
        return len(self._kept)
