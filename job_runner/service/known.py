"""What the queue knows that a quote is made from: measurements, who is there, what was used up of the limits.

A plan needs no Redis: within `ANSWER_SECONDS` it is asked, and what it does not say by then is not waited for. The
status says an ETA with the same figures.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.errors import JobRunnerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.redisqueue.queue import Queue
    from lib.routing.estimates import Figures
    from lib.settings import Settings

ANSWER_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Known:
    """What was said: nothing at all while `answered` is False. `document` is that of the status."""

    answered: bool = False
    measured: Mapping[tuple[str, str, int], Figures] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def watchers(self) -> Sequence[Mapping[str, Any]]:
        """The living ones."""
        return [each for each in self.document.get("watchers", ()) if each["alive"]]

    def slots(self, backend: str) -> int:
        """How many jobs the living watchers can run there at once."""
        return sum(int(each.get("slots", {}).get(backend, 0)) for each in self.watchers)


async def known(queue: Queue, settings: Settings) -> Known:
    """Everything, as the queue has it now."""
    from lib.redisqueue import measures  # noqa: PLC0415 - a plan must not pay for the client without a server

    return Known(answered=True, measured=await measures.read(queue), document=await overview_of(queue, settings))


def known_in_time(settings: Settings) -> Known:
    """The same if the server answers at once; blocks no longer than that."""
    try:
        return asyncio.run(_known_in_time(settings))
    except (JobRunnerError, TimeoutError):
        return Known()


async def _known_in_time(settings: Settings) -> Known:
    from lib.wiring import opened_queue  # noqa: PLC0415 - as above

    async with opened_queue(settings) as queue:
        return await asyncio.wait_for(known(queue, settings), ANSWER_SECONDS)


async def overview_of(queue: Queue, settings: Settings) -> dict[str, Any]:
    """The document of `status` under these settings."""
    from lib.redisqueue.overview import overview  # noqa: PLC0415 - as above

    return await overview(
        queue,
        lease_idle_ms=settings.watcher_lease_idle_ms,
        budget_usd=settings.budget_per_day_usd,
        cloud_per_min=settings.cloud_tokens_per_min,
    )
