"""Keeps a recurring duty going through faults: the server away, a broken reply, a bug in one round.

Each duty is an object with `run_once()`; this module calls it again and again. A server that does not answer is
said once, then waited for with a growing pause; it never ends the duty. Only the end of the session does.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Protocol

from loguru import logger

from lib.errors import JobRunnerError, SessionLostError, UnreachableError

if TYPE_CHECKING:
    from lib.clock import Clock

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 3.0
"""A server that comes back is met within this time, far below the 10 s that recovery may take."""


class Duty(Protocol):
    """Something that a watcher does again and again."""

    async def run_once(self) -> None:
        """One round; it waits by itself when there is nothing to do."""


async def keep_going(duty: Duty, name: str, clock: Clock) -> None:
    """Run a duty for ever.

    Raises:
        SessionLostError: the session has ended, and with it every duty of this life.

    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            await duty.run_once()
        except SessionLostError:
            raise
        except JobRunnerError as exc:
            _tell(name, exc, first=pause == FIRST_PAUSE_SECONDS)
        except Exception:  # noqa: BLE001 - a bug in one round must not end the duty; it is logged whole
            logger.opt(exception=True).error("{}: this round failed", name)
        else:
            if pause > FIRST_PAUSE_SECONDS:
                logger.info("{}: going on", name)
            pause = FIRST_PAUSE_SECONDS
            continue
        # Jitter, so that a fleet does not return in one wave.
        await clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _tell(name: str, error: JobRunnerError, *, first: bool) -> None:
    if first:
        log = logger.warning if isinstance(error, UnreachableError) else logger.error
        log("{}: {}", name, error.message)
    else:
        logger.debug("{}: still {}", name, error.message)
