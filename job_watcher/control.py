"""Hears what hastens a watcher: a cancel of a job that runs here.

The cancel itself has already ended the job in the queue; this only stops the body sooner than the next renewal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.log_fields import log_fields
from lib.redisqueue import control

if TYPE_CHECKING:
    from job_watcher.in_hand import InHand
    from lib.redisqueue.connection import Client
    from lib.redisqueue.queue import Queue


@dataclass(slots=True)
class ControlListener:
    """Listens from the moment the session is opened: no older word can concern its leases."""

    queue: Queue
    blocking: Client
    in_hand: InHand
    interval: float
    after: str = ""

    async def run_once(self) -> None:
        """Wait for words and act on them."""
        if not self.after:
            self.after = await control.newest_control(self.queue)
        words = await control.wait_for_control(
            self.queue, self.blocking, self.after, block_ms=int(self.interval * 1000)
        )
        for word in words:
            self.after = word.entry
            held = self.in_hand.stop(word.fence) if word.kind == "cancel" else None
            if held is not None:
                logger.bind(**log_fields(held.lease)).info("cancelled, stopping it")
