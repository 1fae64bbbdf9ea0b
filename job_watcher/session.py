"""The watcher's session: opened before the first read, renewed while it lives, measured by its own clock.

Renewals speak for all leases at once and learn which of them no longer stand. `fresh` is the promise to stop by
itself: counted from before the last renewal that succeeded was sent, on a clock that runs through suspend.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loguru import logger

from job_watcher.beginnings import Beginnings
from job_watcher.log_fields import log_fields
from job_watcher.metrics.counts import Counts
from lib.errors import JobRunnerError, SessionLostError
from lib.redisqueue import sessions

if TYPE_CHECKING:
    from job_watcher.in_hand import InHand
    from lib.clock import Clock
    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.queue import Queue


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """L, the renewal interval and the margin of the self-stop, in seconds."""

    life: float
    renew_every: float
    margin: float


@dataclass(slots=True)
class Offer:
    """What this watcher says of itself in its heartbeat; `slots` by backend, none while it drains.

    `offers` are the capabilities by backend, without those that are paused; `paused` says of these why, as JSON.
    """

    capabilities: frozenset[str]
    slots: dict[str, int]
    version: str
    offers: dict[str, frozenset[str]] | None = None
    paused: dict[str, dict[str, Any]] = field(default_factory=dict)


class Session:
    """One life of a watcher as the server knows it."""

    def __init__(
        self,
        queue: Queue,
        name: str,
        run_id: str,
        times: SessionTimes,
        offer: Offer,
        in_hand: InHand,
        clock: Clock,
        counts: Counts | None = None,
    ) -> None:
        self.id = f"{name}:{run_id}"
        self.name = name
        self.run_id = run_id
        self.times = times
        self.offer = offer
        self._queue = queue
        self._in_hand = in_hand
        self._clock = clock
        self._counts = counts or Counts()
        self._renewed_at = float("-inf")
        self._beginnings = Beginnings(queue, self.id)

    async def open(self, previous: str) -> None:
        """Register, ending the session that this watcher had before.

        Raises:
            NameTakenError: the name is alive elsewhere.

        """
        sent = self._clock.elapsed()
        await sessions.open_session(
            self._queue,
            self.id,
            name=self.name,
            previous=previous,
            life_ms=int(self.times.life * 1000),
            heartbeat=self._heartbeat(),
        )
        self._note_renewed(sent)

    async def run_once(self) -> None:
        """Renew, stop what no longer stands, and wait for the next renewal."""
        await self.renew()
        await self._clock.sleep(self.times.renew_every)

    async def renew(self, *, news: bool = False) -> None:
        """One renewal; with `news` the leader hears that the offer has changed.

        Raises:
            SessionLostError: the session was ended; everything in hand is somebody else's.

        """
        sent = self._clock.elapsed()
        try:
            renewed = await sessions.renew(
                self._queue,
                self.id,
                name=self.name,
                life_ms=int(self.times.life * 1000),
                heartbeat=self._heartbeat(),
                held=self._in_hand.leases(),
                draining=not self.offer.slots,
                news=news,
            )
        except JobRunnerError:
            self._counts.renewals["failed"] += 1
            raise
        if not renewed.alive:
            raise SessionLostError(f"session {self.id} was ended while this watcher was away")
        self._note_renewed(sent)
        self._counts.refusals["renewal"] += len(renewed.lost)
        for fence in renewed.lost:
            held = self._in_hand.stop(fence)
            if held is not None and held.unanswered:
                logger.bind(**log_fields(held.lease)).warning("its lease no longer stands, stopping it")

    async def begun(self, lease: Lease) -> None:
        """The body of a lease that was held ahead has begun; returns when the queue was told, or is away."""
        held = self._in_hand.find(lease.fence)
        if held is not None:
            held.gathered = False
        await self._beginnings.tell(lease)

    def _note_renewed(self, sent: float) -> None:
        self._renewed_at = sent
        self._counts.renewed(elapsed=sent, unix_time=self._clock.now().timestamp())

    @property
    def fresh(self) -> bool:
        """Whether something that is paid or external may still be started."""
        return self._clock.elapsed() - self._renewed_at < self.times.life - self.times.margin

    async def close(self) -> None:
        """End the session; it holds nothing any more."""
        await sessions.close_session(self._queue, self.id, name=self.name)

    def _heartbeat(self) -> bytes:
        beat = {
            "session": self.id,
            "capabilities": sorted(self.offer.capabilities),
            "slots": self.offer.slots,
            "offers": None if self.offer.offers is None else {k: sorted(v) for k, v in self.offer.offers.items()},
            "paused": self.offer.paused,
            "running": self._in_hand.in_slots,
            "version": self.offer.version,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        # The queue puts the server's time in front: this is the inside of the object.
        return json.dumps(beat, separators=(",", ":")).encode()[1:]
