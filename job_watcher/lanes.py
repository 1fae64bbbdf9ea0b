"""The lane readers of one watcher, one a backend, as the rest of its life sees them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from job_watcher.lane import LentSlot
from lib.redisqueue.keys import LaneName, parse_lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from job_watcher.backends.base import Backend
    from job_watcher.lane import LaneReader


@dataclass(frozen=True, slots=True)
class Lanes:
    """The readers by the name of their backend."""

    readers: Mapping[str, LaneReader]

    @asynccontextmanager
    async def lent_slot(self, lane: str) -> AsyncIterator[LentSlot]:
        """A free slot of the backend that this lane leads to, as its reader lends it; else one that is none."""
        reader = self.readers.get(parse_lane(lane).backend)
        if reader is None or lane not in reader.lanes:
            yield LentSlot(None)
            return
        async with reader.lent_slot() as lent:
            yield lent

    def close(self) -> None:
        """Begin nothing any more."""
        for reader in self.readers.values():
            reader.close()

    async def leave(self, backend: str, capabilities: Iterable[str]) -> None:
        """Take no more jobs that need these there."""
        await self.readers[backend].leave([str(LaneName(backend, capability)) for capability in capabilities])

    def resize(self, backend: str, slots: int) -> None:
        """Run so many jobs at once there from now on; those that run go on."""
        self.readers[backend].resize(slots)

    def enter(self, backend: str, capabilities: Iterable[str]) -> None:
        """Take such jobs again."""
        self.readers[backend].enter([str(LaneName(backend, capability)) for capability in capabilities])


def lanes_of(backends: Iterable[Backend]) -> tuple[str, ...]:
    """The names of all lanes that these backends can serve when all is well."""
    return tuple(
        str(LaneName(backend.name, capability)) for backend in backends for capability in sorted(backend.capabilities)
    )
