"""What this life of the watcher has in hand: every lease from its start until its ending was committed.

One entry a fence, since two generations of one request_id may overlap: the body of the cancelled one is still
being stopped when the next one starts. The session renews these fences, `control` and the drain cancel them,
the lanes compare their pending lists with them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from job_watcher.cancelling import cancel_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.jobqueue.protocol import Lease

_UNANSWERED: Final = ("slot", "line", "aside")

CLEAN_UP_SECONDS: Final = 1.0
"""How long a cancelled body may clean up before it is cancelled once more."""


Place = Literal["slot", "line", "aside", "answered", "gone"]
"""Where a lease stands: its body has a slot; it was leased ahead and waits for one (`job_watcher.turns`); it has none
and wants none, as it stores what it made or is on its way back; it has an outcome; it is not in hand any more."""


@dataclass(slots=True, eq=False)
class Held:
    """A lease and the task that brings it to its outcome.

    `hands` are all that count it. `began` is when its body did, on the clock that only rises, while it is in its slot.
    `gathered`: its backend holds it ahead, for a body that begins elsewhere and has not yet. Only `InHand` changes
    `place`.
    """

    lease: Lease
    hands: tuple[InHand, ...]
    body: asyncio.Task[None] | None = None
    place: Place = "slot"
    began: float | None = None
    gathered: bool = False

    @property
    def unanswered(self) -> bool:
        """Whether it has no outcome yet."""
        return self.place in _UNANSWERED


class InHand:
    """The leases in hand, by fence: of the whole watcher, or its share on one backend, which has slots of its own."""

    def __init__(self, whole: InHand | None = None) -> None:
        self._whole = whole
        self._held: dict[str, Held] = {}
        # Counted as they move, not when asked: a watcher of many slots asks for each of its jobs.
        self._at: Counter[Place] = Counter()
        self._seat_lent = False
        self.changed = asyncio.Event()

    def share(self) -> InHand:
        """The part of one backend: what is in it is in the whole too."""
        return InHand(self)

    def add(self, lease: Lease) -> Held:
        """Take a lease in hand, in a slot."""
        held = Held(lease, (self,) if self._whole is None else (self, self._whole))
        for hand in held.hands:
            hand.enter(held)
        return held

    def enter(self, held: Held) -> None:
        """Count one more; called by `add` of any hand that shares it."""
        self._held[held.lease.fence] = held
        self._at[held.place] += 1

    def shift(self, fence: str, before: Place, after: Place) -> None:
        """Count one that stands elsewhere now, or has gone; called by `put` and `release`."""
        self._at[before] -= 1
        self._at[after] += 1
        if after == "gone":
            self._held.pop(fence, None)
        self.changed.set()

    def put(self, held: Held, place: Place) -> None:
        """Note where a lease stands now; nothing when it is not in hand any more."""
        if held.place == "gone":
            return
        for hand in held.hands:
            hand.shift(held.lease.fence, held.place, place)
        held.place = place

    def find(self, fence: str) -> Held | None:
        """The lease under this fence, while it is in hand."""
        return self._held.get(fence)

    def release(self, fence: str) -> Held | None:
        """The lease is answered, or is not ours any more; what it was, if it was in hand."""
        held = self._held.get(fence)
        if held is not None:
            self.put(held, "gone")
        return held

    def leases(self) -> list[Lease]:
        """Every lease in hand."""
        return [held.lease for held in self._held.values()]

    @property
    def unanswered(self) -> int:
        """How many have no outcome yet."""
        return self._at["slot"] + self._at["line"] + self._at["aside"]

    @property
    def in_slots(self) -> int:
        """How many slots are taken."""
        return self._at["slot"]

    @property
    def suspects_running(self) -> int:
        """How many slots of the whole watcher are taken by suspects."""
        if self._whole is not None:
            return self._whole.suspects_running
        return sum(held.place == "slot" and held.lease.suspect for held in self._held.values())

    @contextmanager
    def suspect_seat(self) -> Iterator[int]:
        """How many suspects a call may lease that is made in this block: one, or none.

        One in the whole watcher, on whichever backend: the death of one must never be counted to another. Readers of
        several backends call at the same time, so the seat is taken before the call; its lease takes it over.
        """
        if self._whole is not None:
            with self._whole.suspect_seat() as seat:
                yield seat
            return
        free = not (self._seat_lent or self.suspects_running)
        self._seat_lent = self._seat_lent or free
        try:
            yield int(free)
        finally:
            if free:
                self._seat_lent = False

    def waiting(self) -> list[Held]:
        """Those that have no slot yet, in the order in which they were leased."""
        return [held for held in self._held.values() if held.place == "line"]

    def begins(self) -> list[float]:
        """When the bodies began that are in their slots."""
        return [held.began for held in self._held.values() if held.began is not None]

    def free(self, slots: int, *, ahead: int = 0) -> int:
        """How many more leases may be taken, of `slots` bodies at once and so many `ahead` of them.

        As many again may be storing what they made; more would pile up where a store is slower than the bodies.
        """
        return min(slots + ahead - self._at["slot"] - self._at["line"], 2 * slots - self.unanswered)

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
        return await self._stopped([held for held in self._held.values() if held.unanswered])

    async def stop_gathered(self) -> list[Lease]:
        """The same for those whose bodies have not begun where their backend sent them."""
        return await self._stopped([held for held in self._held.values() if held.unanswered and held.gathered])

    async def _stopped(self, running: list[Held]) -> list[Lease]:
        bodies = [held.body for held in running if held.body is not None]
        await cancel_all(bodies, again_seconds=CLEAN_UP_SECONDS)
        # A body that ended all the same has its outcome under way: to hand it back would have it done again.
        return [held.lease for held in running if held.body is None or held.body.cancelled()]

    async def wait_idle(self) -> None:
        """Wait until no body runs."""
        while self.unanswered:
            self.changed.clear()
            await self.changed.wait()
