"""Answers whether a watcher is alive, for a healthcheck: by its session and last round trip, never by a pid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from job_watcher.naming import sessions_here
from lib import wiring
from lib.redisqueue import sessions

if TYPE_CHECKING:
    from lib.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """What a ping found about one name."""

    alive: bool
    text: str


async def ping(settings: Settings, name: str | None) -> list[Answer]:
    """Ask about one watcher, or about all that ever ran from this state directory.

    Raises:
        UnreachableError: the server does not answer.

    """
    async with wiring.opened_queue(settings) as queue:
        roster = {watcher.name: watcher for watcher in await sessions.roster(queue)}
        now_ms = await sessions.server_time_ms(queue)
    names = [name] if name is not None else list(sessions_here(settings.jobs_state_dir))
    answers: list[Answer] = []
    for each in names:
        watcher = roster.get(each)
        if watcher is None:
            answers.append(Answer(alive=False, text=f"{each}: no session"))
            continue
        age = max(0, now_ms - watcher.last_seen_ms) / 1000
        recent = age <= settings.watcher_session_ttl
        state = "alive" if recent else "silent"
        answers.append(Answer(alive=recent, text=f"{each}: {state}, last round trip {age:.1f} s ago"))
    return answers or [Answer(alive=False, text="no watcher has run from this state directory")]
