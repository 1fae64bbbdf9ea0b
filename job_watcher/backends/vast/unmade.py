"""Whether what waits must be made at all: nothing is rented for what `job_watcher.made_already` finds to be there.

Kept by the fleet, which asks before each decision to rent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from job_watcher.session import Session
    from lib.clock import Clock

LOOK_SECONDS: Final = 1.0
"""So long a round waits until what has come is compared with what is made already."""

LONGEST_SECONDS: Final = 20.0
"""After so long without an end of that, what has not been looked at counts as what must be made."""


@dataclass(slots=True)
class Unmade:
    """Asks by `look`, as `job_watcher.duties.LookingDuty` has it; None where nobody can tell."""

    clock: Clock
    look: Callable[[float], Awaitable[int | None]] | None = None
    _since: float | None = None

    async def all_waiting(self, session: Session) -> bool:
        """Whether nothing of what waits was found to be made already, as far as that can be awaited."""
        if self.look is None or not session.fresh or not session.offer.slots:
            return True
        ended = await self.look(LOOK_SECONDS)
        if ended is not None:
            self._since = None
            return ended == 0
        now = self.clock.elapsed()
        self._since = now if self._since is None else self._since
        return now - self._since >= LONGEST_SECONDS
