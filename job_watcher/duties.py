"""Keeps a recurring duty going through faults: the server away, a broken reply, a bug in one round.

Each duty is an object with `run_once()`; this module calls it again and again. A server that does not answer is
said once, by whichever duty meets it first, then waited for with a growing pause; it never ends the duty. Only the
end of the session does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from loguru import logger

from lib.errors import JobRunnerError, SessionLostError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from job_watcher.session import Session
    from lib.clock import Clock

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 3.0
"""A server that comes back is met within this time, far below the 10 s that recovery may take."""


class Duty(Protocol):
    """Something that a watcher does again and again."""

    async def run_once(self) -> None:
        """One round; it waits by itself when there is nothing to do."""


class FlushedDuty(Duty, Protocol):
    """One that keeps words for the queue."""

    async def flush(self) -> None:
        """Say all that is kept, now; raises where it is not heard."""


@runtime_checkable
class SessionDuty(FlushedDuty, Protocol):
    """One that acts under the session of the life it goes on in."""

    def begin(self, session: Session, on_change: Callable[[], None]) -> None:
        """A life begins; `on_change` is to hear when what its backend lacks, or has slots for, is another now."""

    @property
    def hopes(self) -> bool:
        """Whether its backend may come to have what it lacks: then a drain waits for it."""


@runtime_checkable
class LookingDuty(FlushedDuty, Protocol):
    """One that asks whether what waits is made already, before it pays for making it."""

    def look_by(self, look: Callable[[float], Awaitable[int | None]]) -> None:
        """In this life by `look`: for so many seconds at most; how many that ended, None while it is not over."""


@dataclass(slots=True)
class Contact:
    """What all duties of a watcher know of their server: the names of those that got no answer last time."""

    without: set[str] = field(default_factory=set)

    def missed(self, name: str, error: UnreachableError) -> None:
        """A duty got no answer; said when it is the first."""
        if not self.without:
            logger.warning("{}; waiting for it", error.message)
        elif name not in self.without:
            logger.debug("{}: {}", name, error.message)
        self.without.add(name)

    def met(self, name: str) -> None:
        """A duty got on; said when it is the last of those that had not."""
        if name in self.without:
            self.without.discard(name)
            if not self.without:
                logger.info("the server answers again: going on")


async def keep_going(duty: Duty, name: str, clock: Clock, contact: Contact | None = None) -> None:
    """Run a duty for ever; duties of one server share a `contact`.

    Raises:
        SessionLostError: the session has ended, and with it every duty of this life.

    """
    contact = contact or Contact()
    pause = FIRST_PAUSE_SECONDS
    failed = False
    while True:
        try:
            await duty.run_once()
        except SessionLostError:
            raise
        except UnreachableError as exc:
            contact.missed(name, exc)
        except JobRunnerError as exc:
            contact.met(name)
            _tell(name, exc, first=not failed)
            failed = True
        except Exception:  # noqa: BLE001 - a bug in one round must not end the duty; it is logged whole
            logger.opt(exception=True).error("{}: this round failed", name)
            failed = True
        else:
            contact.met(name)
            if failed:
                logger.info("{}: going on", name)
            failed = False
            pause = FIRST_PAUSE_SECONDS
            continue
        # Jitter, so that a fleet does not return in one wave.
        await clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _tell(name: str, error: JobRunnerError, *, first: bool) -> None:
    if first:
        logger.error("{}: {}", name, error.message)
    else:
        logger.debug("{}: still {}", name, error.message)
