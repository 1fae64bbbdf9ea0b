"""The limit of jobs a minute, as so many jobs in a window: one reckoning for moves, quotes and the status.

It imports nothing, since the status must start without the models of jobs. The queue keeps to it (`move.lua`).
"""

from __future__ import annotations

from typing import Final

TRANSIT_MS: Final = 500
"""How much later than another a job may begin that was moved at the same time: a watcher that is busy for a moment."""

_MINUTE_MS: Final = 60_000


def jobs_in_window(per_minute: float) -> tuple[int, int]:
    """At most so many jobs in any so many ms; a rate below 1 is one job in 60 / rate seconds.

    A job begins a moment after it was moved, one sooner than another: the window is a little wider than a minute.
    """
    return max(1, int(per_minute)), round(_MINUTE_MS / min(1.0, per_minute)) + TRANSIT_MS
