"""Whether this watcher is alive, and whether it takes work: by its last good round trip, never by its pid.

`healthz` is for whatever restarts processes, `readyz` for whoever wants to know if jobs begin here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.backends.vast.condition import RentingHere
    from job_watcher.metrics.counts import Counts
    from lib.clock import Clock


class Watching(Protocol):
    """What is asked of the present life of the watcher."""

    @property
    def session_id(self) -> str:
        """Its session."""

    @property
    def running(self) -> int:
        """Bodies that run."""

    @property
    def slots(self) -> dict[str, int]:
        """Slots that are offered, by backend; none while it stops."""

    @property
    def paused(self) -> dict[tuple[str, str], bool]:
        """Whether it is paused, by backend and capability."""

    @property
    def stuck_publications(self) -> int:
        """Outbox entries that could not be published here."""

    @property
    def leads(self) -> bool:
        """Whether its conductor works."""

    @property
    def renting(self) -> RentingHere | None:
        """How renting stands; None of one that rents nothing."""


@dataclass(frozen=True, slots=True)
class Health:
    """The verdicts; `life` is L in seconds, `watching` gives the present life or None between two."""

    counts: Counts
    clock: Clock
    life: float
    watching: Callable[[], Watching | None]

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Alive while the last good round trip is within L."""
        last = self.counts.last_round_trip
        if last is None:
            return self._verdict("no round trip with the server has succeeded yet", None)
        age = self.clock.elapsed() - last
        if age > self.life:
            return self._verdict(f"no round trip with the server has succeeded for {age:.1f} s", age)
        return self._verdict("", age)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Alive, and free slots are offered to jobs."""
        alive, document = self.alive()
        watching = self.watching()
        if not alive:
            return alive, document
        if watching is None or not watching.slots:
            return self._verdict("it is stopping, or between two sessions", document["last_round_trip_seconds_ago"])
        return alive, document

    def _verdict(self, reason: str, age: float | None) -> tuple[bool, dict[str, Any]]:
        watching = self.watching()
        document: dict[str, Any] = {
            "schema_version": 1,
            "status": "unavailable" if reason else "ok",
            "last_round_trip_seconds_ago": None if age is None else round(age, 3),
            "allowed_seconds": self.life,
            "session": None if watching is None else watching.session_id,
        }
        return not reason, document | ({"reason": reason} if reason else {})
