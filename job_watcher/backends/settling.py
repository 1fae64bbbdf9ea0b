"""Says what granted calls took and cost, sooner or later: a word that the server does not hear is kept and said again.

Each word is safe to say twice. What was never said when the session ends, the sweep charges at its most; so this is
bounded by a session's life and needs no store. Told by the meters of one backend; a duty of the watcher's life.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.errors import JobRunnerError
from lib.redisqueue import quota

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.quota import Settlement

KEPT_MAX: Final = 10_000
"""More calls than any backend can have under way while its session lives."""

_CALL_MAX: Final = 500

_PAUSE_SECONDS: Final = 1.0
"""Between two tries of the duty."""


@dataclass(slots=True)
class Settlements:
    """What is still to be said."""

    queue: Queue
    clock: Clock
    _left: deque[Settlement] = field(default_factory=deque)
    _any: asyncio.Event = field(default_factory=asyncio.Event)
    _speaking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def left(self) -> int:
        """How many words were not heard yet."""
        return len(self._left)

    def put(self, settlement: Settlement) -> None:
        """Keep a word, to be said by the next `say` or by the duty; for who must not wait."""
        if len(self._left) >= KEPT_MAX:
            self._left.popleft()
        self._left.append(settlement)
        self._any.set()

    async def say(self, settlement: Settlement) -> None:
        """Say it now, and all that is left; what is not heard is kept. Raises nothing but cancellation."""
        self.put(settlement)
        try:
            await self.flush()
        except JobRunnerError:
            return

    async def run_once(self) -> None:
        """Wait for a word that was not heard, and say it."""
        await self._any.wait()
        await self.flush()
        await self.clock.sleep(_PAUSE_SECONDS)

    async def flush(self) -> None:
        """Say all that is left; raises where it is not heard."""
        async with self._speaking:
            while self._left:
                said = [self._left.popleft() for _ in range(min(len(self._left), _CALL_MAX))]
                try:
                    await quota.settle_all(self.queue, said)
                except BaseException:
                    self._left.extendleft(reversed(said))
                    raise
            self._any.clear()
