"""A watcher's life as the server knows it: open, renew, close, lead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from lib.errors import NameTakenError, SessionLostError
from lib.jobqueue.moves import LiveWatcher
from lib.jobqueue.protocol import Leadership, Lease, Renewed
from lib.redisqueue.connection import as_text, edge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from lib.redisqueue.queue import Queue


async def open_session(queue: Queue, session: str, *, name: str, previous: str, life_ms: int, heartbeat: bytes) -> None:
    """Register a session before its first read, and end the `previous` one of the same watcher.

    `heartbeat` is the inside of a JSON object with its closing brace; the server's time is put in front.

    Raises:
        NameTakenError: a session of this name is alive that is not `previous`.

    """
    state, member = await queue.scripts.call(
        "open", session=session, name=name, previous=previous, life_ms=life_ms, heartbeat=heartbeat
    )
    if as_text(state) == "taken":
        async with edge(queue.url):
            seen = await queue.client.hget(queue.keys.of("heartbeat"), name)
        raise NameTakenError(
            f"a watcher named {name!r} is alive elsewhere: session {as_text(member)}"
            + (f", {as_text(seen)}" if seen else ""),
            hint="give this one another name with --consumer-name, or wait until the other has ended",
            heard=as_text(seen or b""),
        )


async def ensure_lanes(queue: Queue, lanes: Sequence[str]) -> None:
    """Make the lanes and their groups where they are not; see lanes.lua."""
    await queue.scripts.call("lanes", lanes=lanes)
    queue.lanes = tuple(sorted({*queue.lanes, *lanes}))


async def renew(
    queue: Queue,
    session: str,
    *,
    name: str,
    life_ms: int,
    heartbeat: bytes,
    held: Iterable[Lease],
    draining: bool = False,
    news: bool = False,
) -> Renewed:
    """Renew a session and learn which fences in hand no longer stand; a kill while `draining` counts no death.

    With `news` the leader is woken to look at what is offered.
    """
    reply = await queue.scripts.call(
        "renew",
        rows=[(lease.request_id, lease.fence) for lease in held],
        session=session,
        name=name,
        life_ms=life_ms,
        draining=int(draining),
        news=int(news),
        heartbeat=heartbeat,
    )
    return Renewed(alive=reply[0] == 1, lost=tuple(as_text(fence) for fence in reply[1:]))


async def close_session(queue: Queue, session: str, *, name: str) -> bool:
    """End a session that holds nothing any more; whether it was still a member."""
    return bool(await queue.scripts.call("close", session=session, name=name))


async def lead(queue: Queue, session: str, *, dedicated: bool = False, backlogs: Collection[str] = ()) -> Leadership:
    """Take the lead if nobody alive has it; a `dedicated` conductor also from a watcher that leads beside its work.

    `backlogs` are those that it will serve, none for all; whoever asks why a job waits is told.

    Raises:
        SessionLostError: the session is no member.

    """
    epoch, leader = await queue.scripts.call(
        "lead", session=session, dedicated=int(dedicated), backlogs=",".join(sorted(backlogs))
    )
    if as_text(leader) == "no_session":
        raise SessionLostError(f"session {session} has ended")
    return Leadership(epoch=as_text(epoch), leader=as_text(leader))


def _heartbeat(raw: bytes) -> dict[str, Any]:
    """A heartbeat; an empty one where somebody put something else, which must not stop the leader."""
    try:
        beat = json.loads(raw)
    except ValueError:
        return {}
    sound = isinstance(beat, dict) and isinstance(beat.get("slots"), dict) and isinstance(beat.get("last_seen_ms"), int)
    return beat if sound else {}


async def roster(queue: Queue) -> list[LiveWatcher]:
    """The watchers whose session stands, from their heartbeats."""
    async with edge(queue.url):
        pipe = queue.client.pipeline(transaction=False)
        pipe.zrange(queue.keys.of("sessions"), 0, -1)
        pipe.hgetall(queue.keys.of("heartbeat"))
        members, beats = await pipe.execute()
    live = {as_text(member) for member in members}
    found: list[LiveWatcher] = []
    for name, raw in beats.items():
        beat = _heartbeat(raw)
        if beat.get("session") in live:
            found.append(
                LiveWatcher(
                    name=as_text(name),
                    session=beat["session"],
                    capabilities=frozenset(beat.get("capabilities", ())),
                    slots={str(backend): int(count) for backend, count in beat.get("slots", {}).items()},
                    last_seen_ms=int(beat["last_seen_ms"]),
                    offers=_offers(beat.get("offers")),
                )
            )
    return found


def _offers(said: object) -> dict[str, frozenset[str]] | None:
    """The capabilities by backend; None of a watcher that does not say."""
    if not isinstance(said, dict):
        return None
    return {str(backend): frozenset(map(str, names)) for backend, names in said.items() if isinstance(names, list)}


async def live_sessions(queue: Queue) -> frozenset[str]:
    """Every session that stands."""
    async with edge(queue.url):
        members = await queue.client.zrange(queue.keys.of("sessions"), 0, -1)
    return frozenset(as_text(member) for member in cast("list[bytes]", members))


async def server_time_ms(queue: Queue) -> int:
    """The server's clock, Unix milliseconds: the one that sessions age by."""
    async with edge(queue.url):
        seconds, micros = await queue.client.time()
    return int(seconds) * 1000 + int(micros) // 1000
