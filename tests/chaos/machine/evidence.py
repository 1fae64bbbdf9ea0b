"""What several checks ask of a history: which generations an id had, whether a call and a step fit, and the evidence.

Judges nothing; the modules of checks call it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.machine.history import Call, History
    from tests.chaos.machine.replay import Generation, Replay

SEEN_SECONDS: Final = 0.5
"""How much later than it happened a step may have been seen."""

AWAY: Final = frozenset({"server_kill", "long_server_kill", "server_restart", "server_pause", "long_server_pause"})
"""Faults in which the server does not answer."""

CUT_OFF: Final = ("pause", "long_pause", "blackhole", "long_blackhole", "half_open", "delay", "reset", "lose_reply")
"""Faults of one watcher, or of its wire, in which it may not be in touch with the server."""

Span = tuple[float, float]


def by_id(replay: Replay) -> defaultdict[str, list[Generation]]:
    """The generations of each id, in their order."""
    found: defaultdict[str, list[Generation]] = defaultdict(list)
    for (request_id, _), each in replay.generations.items():
        found[request_id].append(each)
    return found


def within(call: Call, at: float) -> bool:
    """Whether a step at this time may be of this call; an unanswered one may have come through at any time since."""
    return call.sent <= at + SEEN_SECONDS and (call.answered is None or at <= call.answered + SEEN_SECONDS)


def window(call: Call) -> Span:
    """When a state must have been seen that a call was told of."""
    return call.sent - SEEN_SECONDS, (call.answered or call.sent) + SEEN_SECONDS


def standing(generations: list[Generation], call: Call) -> list[Generation]:
    """The generations that were the newest of their id at some time between a call and its answer."""
    begin, end = window(call)
    begun = [each for each in generations if each.at <= end]
    older = [each for each in begun if each.at <= begin]
    return begun[max(len(older) - 1, 0) :]


def code_for(call: Call, request_id: str) -> str | None:
    """What a call was answered about one of its ids; None when there was no answer."""
    return None if call.codes is None else call.codes[call.ids.index(request_id)]


def way(replay: Replay, generation: Generation) -> tuple[str, ...]:
    """Everything that is known of one generation's leases."""
    leases = [each for each in replay.leases.values() if each.generation == generation.number]
    row = replay.rows.get(generation.id)
    return (
        f"began at {generation.at:.3f}",
        *(f"lease {each.fence} of {each.session} from {each.at:.3f} to {each.ended}" for each in leases),
        f"row at the end: {row}",
    )


def calls_of(history: History, request_id: str) -> tuple[str, ...]:
    """Every call that named an id, with its answer."""
    return tuple(
        f"{call.do} sent {call.sent:.3f} answered {call.answered}: {code_for(call, request_id) or 'unknown'}"
        for call in history.calls
        if request_id in call.ids
    )


def spans_of(history: History, *kinds: str) -> Iterator[tuple[str, Span]]:
    """(target, from when to when) of each fault of these kinds; one that never ended lasts."""
    ends = {note["fault"]: note["at"] for note in history.ground if note["is"] == "end"}
    for note in history.ground:
        if note["is"] == "begin" and note["kind"] in kinds:
            yield note.get("target", ""), (note["at"], ends.get(note.get("fault"), float("inf")))


def post_of(session: str) -> int:
    """The number of the post whose watcher has this session, or this name; 0 when it is nobody's."""
    found = re.match(r"w(\d+)", session)
    return int(found[1]) if found else 0
