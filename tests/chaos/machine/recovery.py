"""Promise 6: how long the jobs of a dead watcher stayed with it, in time in which the server was seen.

Pure. A death is a note of the ground, what the dead held is in the replay, and whether anybody was in touch with the
server shows in the renewals of all sessions: where none came, or the server was broken, no time is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tests.chaos.machine.evidence import AWAY, CUT_OFF, Span, post_of, spans_of
from tests.chaos.machine.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chaos.machine.history import History
    from tests.chaos.machine.replay import Replay, SessionLife

SILENCE_SECONDS: Final = 1.5
"""Sessions renew several times a second; where none does for so long, nobody was in touch with the server."""

AFTER_SECONDS: Final = 2.0
"""So long after a fault its silence may last: whoever was cut off waits a moment before he tries again."""


@dataclass(slots=True)
class Recovery:
    """Figures of all deaths: `waits` are seconds until each job of the dead was free again, outages taken off.

    `disturbed` are those in which the server was away or its clock stepped: each may give a session a whole new life.
    """

    deaths: int = 0
    waits: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """Seconds, of the undisturbed; 0 when the dead held nothing."""
        return max(self.waits, default=0.0)

    @property
    def worst_disturbed(self) -> float:
        """The same of the others."""
        return max(self.disturbed, default=0.0)


def recovered(history: History, replay: Replay) -> Recovery:
    """What every death cost."""
    found = Recovery()
    outages = silent(history, replay)
    steps = [note["at"] for note in history.ground if note["is"] == "begin" and note["kind"] == "clock"]
    by_name: dict[str, list[SessionLife]] = {}
    for name, life in replay.sessions.items():
        by_name.setdefault(name.partition(":")[0], []).append(life)
    for note in history.ground:
        if note["is"] != "dead":
            continue
        found.deaths += 1
        died = note["at"]
        lives = [life for life in by_name.get(note["name"], []) if life.opened <= died]
        for life in lives[-1:]:
            _look(history, replay, found, (life, died, note["how"]), outages, steps)
    found.verdicts += _lapsed(history, replay, outages, steps)
    return found


def _lapsed(history: History, replay: Replay, outages: list[Span], steps: list[float]) -> Iterator[Verdict]:
    """Sessions that were silent for longer than L + S and were not ended, be they dead, paused or cut off."""
    end = max((line.at for line in history.lines[-1:]), default=0.0)
    for life in replay.sessions.values():
        last = end if life.ended is None else life.ended
        for begin, until in pairwise([*(at for at in life.renewals if at <= last), last]):
            wait, limit, lost = _counted(history, (begin, until), outages, steps)
            if wait > limit:
                said = f"silent for {wait:.2f} s and not ended; the limit is {limit:.2f} s"
                evidence = (f"from {begin:.3f} to {until:.3f}", f"outages within: {lost}")
                yield Verdict(6, life.name, said, begin, evidence)


def _counted(history: History, span: Span, outages: list[Span], steps: list[float]) -> tuple[float, float, list[Span]]:
    """How long a span was without the outages in it, how long it may have been, and those outages."""
    begin, until = span
    lost = [each for each in outages if each[0] < until and each[1] > begin]
    wait = until - begin - sum(min(until, b) - max(begin, a) for a, b in lost)
    # A gap between sweeps is taken whole, with the moments around the outage in which the server was there; after a
    # step of the clock every session may have a whole life before it.
    stepped = sum(begin <= at <= until for at in steps)
    more = len(lost) * (2 * history.sweep + SILENCE_SECONDS) + history.life * stepped
    return wait, history.life + history.sweep + history.slack + more, lost


def _look(
    history: History,
    replay: Replay,
    found: Recovery,
    death: tuple[SessionLife, float, str],
    outages: list[Span],
    steps: list[float],
) -> None:
    life, died, how = death
    end = max((line.at for line in history.lines[-1:]), default=died)
    for lease in replay.leases.values():
        if lease.session != life.name or lease.at > died or (lease.ended is not None and lease.ended <= died):
            continue
        until = lease.ended if lease.ended is not None else end
        wait, limit, lost = _counted(history, (died, until), outages, steps)
        whole = not lost and not any(died <= at <= until for at in steps)
        (found.waits if whole else found.disturbed).append(max(0.0, wait))
        if wait > limit:
            said = f"held by {life.name}, {how}, for {wait:.2f} s after its death; the limit is {limit:.2f} s"
            free = "never" if lease.ended is None else f"{lease.ended:.3f}"
            evidence = (f"died {died:.3f}, free {free}, session ended {life.ended}", f"outages within: {lost}")
            found.verdicts.append(Verdict(6, lease.id, said, died, evidence))


def silent(history: History, replay: Replay) -> list[Span]:
    """The spans in which the server was broken or nobody was in touch with it, sorted and without overlaps.

    A silence counts only as far as a noted fault or death explains it: a queue whose watchers all stall would excuse
    itself otherwise.
    """
    excuses = excused(history, replay)
    renewals = sorted(at for life in replay.sessions.values() for at in life.renewals)
    spans = [(a, b) for a, b in pairwise(renewals) if b - a > SILENCE_SECONDS]
    found = [each for span in spans for each in overlaps(span, excuses)]
    deaths = ((note["at"], note["at"] + AFTER_SECONDS) for note in history.ground if note["is"] == "dead")
    cut_off = ((begin, end + AFTER_SECONDS) for _, (begin, end) in spans_of(history, *CUT_OFF))
    troubles = merged([*excuses, *deaths, *cut_off])
    for (earlier, earlier_ms), (later, later_ms) in pairwise(replay.sweeps):
        # The queue's own rule. Whoever swept may have been the one that was hit, and another must find out first.
        gap = later_ms - earlier_ms > 2000 * history.sweep and later - earlier < 2 * history.sweep + SILENCE_SECONDS
        if gap and overlaps((earlier, later), troubles):
            found.append((earlier, later))
    return merged([*found, *(span for _, span in spans_of(history, *AWAY))])


def excused(history: History, replay: Replay) -> list[Span]:
    """When nobody need have been in touch with the server: it was away, or every watcher was cut off or dead."""
    away = merged((begin, end + AFTER_SECONDS) for _, (begin, end) in spans_of(history, *AWAY))
    everybody: list[Span] | None = None
    for mine in _troubles(history, replay).values():
        everybody = mine if everybody is None else [each for span in everybody for each in overlaps(span, mine)]
    return merged([*away, *(everybody or [])])


def _troubles(history: History, replay: Replay) -> dict[int, list[Span]]:
    """By post: when its watcher was cut off by a fault, or dead until the session of the next one."""
    opened = sorted((life.opened, post_of(name)) for name, life in replay.sessions.items())
    found: dict[int, list[Span]] = {post: [] for _, post in opened}
    for target, (begin, end) in spans_of(history, *CUT_OFF):
        post = int(target.rpartition("-")[2]) if target[-1:].isdigit() else 0
        found.setdefault(post, []).append((begin, end + AFTER_SECONDS))
    for note in history.ground:
        if note["is"] == "dead":
            post = post_of(note["name"])
            until = next((at for at, whose in opened if whose == post and at > note["at"]), float("inf"))
            found.setdefault(post, []).append((note["at"], until))
    found.pop(0, None)
    return {post: merged(spans) for post, spans in found.items()}


def overlaps(span: Span, others: Iterable[Span]) -> list[Span]:
    """The parts of a span that lie in one of the others."""
    parts = ((max(span[0], begin), min(span[1], end)) for begin, end in others)
    return [(begin, end) for begin, end in parts if begin < end]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted, and those that touch made one."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found
