"""What has happened in this process since it started, as plain numbers: kept always, exported only when asked for.

The duties count here because they come and go with each session, and figures of a process must not. Nothing here
knows the form in which Prometheus reads them; `job_watcher.metrics.exposition` does. Event loop only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BOUNDS_SECONDS: Final = (0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 86400)
"""Jobs take from moments to an hour, and may wait for a night: narrow where a minute matters, wide behind."""


@dataclass(slots=True)
class Durations:
    """A histogram: how many were at most each bound, their sum and their number."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    total_seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one; a clock that stepped back makes no negative time."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.total_seconds += seconds


@dataclass(slots=True)
class Counts:
    """Everything that a process counts; the keys are the values of one label, or of several in order."""

    records: Counter[str] = field(default_factory=Counter)
    """Jobs whose record this watcher committed, by status."""
    retries: Counter[str] = field(default_factory=Counter)
    """Leases answered with another try, by kind: attempt, crash, free."""
    refusals: Counter[str] = field(default_factory=Counter)
    """What the fence refused, by step: commit, retry, progress, renewal."""
    renewals: Counter[str] = field(default_factory=Counter)
    """Of the session, by result: ok, failed."""
    sessions_lost: int = 0
    """Sessions of this watcher that were ended while it lived, whichever duty heard of it first."""
    sessions_reaped: int = 0
    """Lapsed sessions that sweeps of this watcher ended."""
    jobs_reclaimed: int = 0
    """Jobs that those sweeps put back."""
    waits: dict[tuple[str, str], Durations] = field(default_factory=dict)
    """From queued, or due, to the first start, by (task, backend)."""
    runs: dict[tuple[str, str, str], Durations] = field(default_factory=dict)
    """From start to outcome, by (task, backend, outcome)."""
    last_round_trip: float | None = None
    """When the last renewal that succeeded was sent, on the clock that runs through suspend, in seconds."""
    last_round_trip_at: float = 0.0
    """The same as Unix time."""

    def renewed(self, *, elapsed: float, unix_time: float) -> None:
        """The server has renewed, or opened, the session; both times are those of sending."""
        self.renewals["ok"] += 1
        self.last_round_trip, self.last_round_trip_at = elapsed, unix_time
