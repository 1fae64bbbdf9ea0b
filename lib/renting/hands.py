"""What a keeper can do on the host of its machine; whoever has no hands there can only end it.

The watcher's are `job_watcher.backends.vast.hands`; the reaper has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lib.market import events as ev

if TYPE_CHECKING:
    from lib.market.base import Address
    from lib.market.events import Event


class Hands(Protocol):
    """What is done on the host: each returns what came of it; none of them is called after `close`."""

    async def connect(self, address: Address, seconds: float) -> Event:
        """Come in by ssh within so many seconds: `Connected` or `Lost`."""

    async def probe(self) -> Event:
        """Look at it, and install what is missing: `Probed`."""

    async def canary(self) -> Event:
        """Run one small job: `CanaryEnded`."""

    def open(self) -> None:
        """It takes jobs from now on."""

    def close(self) -> None:
        """It takes none from now on; those it has go back. Returns at once. Repeatable."""


class NoHands:
    """Of one who can only end machines."""

    async def connect(self, address: Address, seconds: float) -> Event:  # noqa: ARG002 - it has no key to come in with
        """Cannot."""
        return ev.Lost("its ssh key died with its watcher", blame=False)

    async def probe(self) -> Event:
        """Cannot."""
        return ev.Lost("nobody is connected to it", blame=False)

    async def canary(self) -> Event:
        """Cannot."""
        return ev.Lost("nobody is connected to it", blame=False)

    def open(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
