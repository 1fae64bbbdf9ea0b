"""A fault proxy that can also be half deaf: what a watcher says of itself is held back, everything else passes.

So one connection of a watcher hangs while the others work: its session lapses, and it goes on in good faith.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tests.support.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RENEWAL: Final = b'\r\n"session":"'
"""How the heartbeat begins that goes with each renewal; in replies it stands inside an object."""


class Wire(FaultProxy):
    """One wire of the ground."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self._hears = asyncio.Event()
        self._hears.set()

    def deafen(self) -> None:
        """Hold back renewals."""
        self._hears.clear()

    def hear(self) -> None:
        """Let what was held back through, late as it is."""
        self._hears.set()

    async def _chunks(self, *where: Any, **more: Any) -> AsyncIterator[bytes]:
        async for chunk in super()._chunks(*where, **more):
            if RENEWAL in chunk:
                await self._hears.wait()
            yield chunk
