"""Answers whether a watcher is alive, for a healthcheck: by its session and last round trip, never by a pid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from job_watcher.naming import sessions_here
from lib import wiring
from lib.redisqueue import sessions
from lib.redisqueue.connection import as_text, edge

if TYPE_CHECKING:
    from lib.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """What a ping found about one name; `age_sec` is that of its last round trip, None without a session."""

    name: str
    alive: bool
    age_sec: float | None = None

    @property
    def state(self) -> str:
        """`alive`, `silent` or `no session`."""
        return "no session" if self.age_sec is None else "alive" if self.alive else "silent"

    @property
    def text(self) -> str:
        """A line for a person."""
        seen = "" if self.age_sec is None else f", last round trip {self.age_sec:.1f} s ago"
        return f"{self.name}: {self.state}{seen}"

    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {"name": self.name, "alive": self.alive, "state": self.state, "last_round_trip_sec": self.age_sec}


async def ping(settings: Settings, name: str | None) -> list[Answer]:
    """Ask about one watcher, or about all of this state directory that the queue has not forgotten.

    Forgotten are those that ended in order, and dead ones whose session a sweep has ended: their names stay on the
    disk for ever, and say nothing.

    Raises:
        UnreachableError: the server does not answer.

    """
    async with wiring.opened_queue(settings) as queue:
        roster = {watcher.name: watcher for watcher in await sessions.roster(queue)}
        now_ms = await sessions.server_time_ms(queue)
        async with edge(queue.url):
            beats: Any = await queue.client.hkeys(queue.keys.of("heartbeat"))
    remembered = {as_text(beat) for beat in beats}
    here = sessions_here(settings.jobs_state_dir) if name is None else {}
    names = [each for each in here if each in remembered] if name is None else [name]
    answers: list[Answer] = []
    for each in names:
        watcher = roster.get(each)
        if watcher is None:
            answers.append(Answer(each, alive=False))
            continue
        age = max(0, now_ms - watcher.last_seen_ms) / 1000
        answers.append(Answer(each, alive=age <= settings.watcher_session_ttl, age_sec=age))
    return answers
