"""What this life of the watcher has in hand: every lease from its start until its ending was committed.

One entry a fence, since two generations of one request_id may overlap: the body of the cancelled one is still
being stopped when the next one starts. The session renews these fences, `control` and the drain cancel them,
the lanes compare their pending lists with them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from job_watcher.cancelling import cancel_all

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease

CLEAN_UP_SECONDS: Final = 1.0
"""How long a cancelled body may clean up before it is cancelled once more."""


@dataclass(slots=True)
class Held:
    """A lease and the task that brings it to its outcome.

    `running` until there is one; `in_slot` until the body is over, which is earlier: its outputs are then stored while
    the next body has the slot. `waits` while it is leased ahead and has none yet (`job_watcher.turns`); `began` is when
    its body did, on the clock that only rises, while it is in its slot.
    """

    lease: Lease
    body: asyncio.Task[None] | None = None
    running: bool = True
    in_slot: bool = True
    waits: bool = False
    began: float | None = None


class InHand:
    """The leases in hand, by fence."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self.changed = asyncio.Event()

    def add(self, lease: Lease) -> Held:
        """Take a lease in hand."""
        held = Held(lease)
        self._held[lease.fence] = held
        return held

    def find(self, fence: str) -> Held | None:
        """The lease under this fence, while it is in hand."""
        return self._held.get(fence)

    def leave_slot(self, fence: str) -> None:
        """The body is over: its slot is free, its outcome is still to come."""
        held = self._held.get(fence)
        if held is not None:
            held.in_slot = False
        self.changed.set()

    def body_ended(self, fence: str) -> None:
        """There is an outcome; the lease still stands."""
        held = self._held.get(fence)
        if held is not None:
            held.running = held.in_slot = False
        self.changed.set()

    def release(self, fence: str) -> None:
        """The lease is answered, or is not ours any more."""
        self._held.pop(fence, None)
        self.changed.set()

    def leases(self) -> list[Lease]:
        """Every lease in hand."""
        return [held.lease for held in self._held.values()]

    @property
    def running(self) -> int:
        """How many have no outcome yet."""
        return sum(held.running for held in self._held.values())

    @property
    def in_slots(self) -> int:
        """How many slots are taken."""
        return sum(held.in_slot for held in self._held.values())

    @property
    def suspects_running(self) -> int:
        """How many of them are taken by suspects."""
        return sum(held.in_slot and held.lease.suspect for held in self._held.values())

    def waiting(self) -> list[Held]:
        """Those that have no slot yet, in the order in which they were leased."""
        return [held for held in self._held.values() if held.waits]

    def begins(self) -> list[float]:
        """When the bodies began that are in their slots."""
        return [held.began for held in self._held.values() if held.began is not None]

    def free(self, slots: int, *, ahead: int = 0) -> int:
        """How many more leases may be taken, of `slots` bodies at once and so many `ahead` of them.

        As many again may be storing what they made; more would pile up where a store is slower than the bodies.
        """
        taken = sum(held.in_slot or held.waits for held in self._held.values())
        return min(slots + ahead - taken, 2 * slots - self.running)

    def entries(self) -> set[tuple[str, str]]:
        """The lane entries of all leases in hand."""
        return {(held.lease.lane, held.lease.entry) for held in self._held.values()}

    def stop(self, fence: str) -> Held | None:
        """Cancel the body of a lease that no longer stands; the body's clean-up releases it."""
        held = self._held.get(fence)
        if held is not None and held.body is not None:
            held.body.cancel()
        return held

    async def stop_all(self) -> list[Lease]:
        """Cancel every running body and wait until all are cleaned up; the leases of those that got no outcome."""
        running = [held for held in self._held.values() if held.running]
        bodies = [held.body for held in running if held.body is not None]
        await cancel_all(bodies, again_seconds=CLEAN_UP_SECONDS)
        # A body that ended all the same has its outcome under way: to hand it back would have it done again.
        return [held.lease for held in running if held.body is None or held.body.cancelled()]

    async def wait_idle(self) -> None:
        """Wait until no body runs."""
        while self.running:
            self.changed.clear()
            await self.changed.wait()
