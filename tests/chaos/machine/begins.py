"""When bodies began, and when the cancelled ones stopped: not before their time, under a lease, not long after a word.

`checks.fences` asks whether a body had a lease at all, and `checks.self_stop` looks at watchers that are cut off; here
are those in touch. Pure; called as part of `checks.ALL`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from tests.chaos.machine.evidence import AWAY, CUT_OFF, SEEN_SECONDS, by_id, calls_of, post_of, spans_of, way, within
from tests.chaos.machine.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.machine.evidence import Span
    from tests.chaos.machine.history import History
    from tests.chaos.machine.replay import Generation, Lease, Replay, SessionLife

_AROUND: Final = 2
"""So many sweeps on either side of a moment tell the server's clock then: it may step between two of them."""


def in_time(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 3: what was asked for with a `run_after` waits until then, by the server's clock.

    Where the drain hastened a job by hand nothing is said.
    """
    for generations in by_id(replay).values():
        for each in generations:
            due = _due_ms(history, each)
            if not due or each.free is None or replay.hastened.get(each.id, float("inf")) <= each.free:
                continue
            clock = _clock_ms(replay, each.free)
            if clock is not None and clock + SEEN_SECONDS * 1000 < due:
                said = f"it was free to begin {(due - clock) / 1000:.2f} s before its time"
                evidence = (f"due at {due} ms", *calls_of(history, each.id), *way(replay, each))
                yield Verdict(3, each.id, said, each.free, evidence)


def _due_ms(history: History, each: Generation) -> int:
    """The earliest time that a call may have given a generation; 0 where one gave none, or it was a retry's."""
    found: list[int] = []
    for call in history.calls:
        if each.id not in call.ids or not within(call, each.at):
            continue
        if call.do == "retry":
            return 0
        found += [
            due for request_id, identity, due, _ in call.rows if (request_id, identity) == (each.id, each.identity)
        ]
    return min(found, default=0)


def _clock_ms(replay: Replay, at: float) -> float | None:
    """What the server's clock said at most, by the sweeps around; None where nobody swept."""
    here = bisect_left(replay.sweeps, (at, 0))
    near = replay.sweeps[max(here - _AROUND, 0) : here + _AROUND]
    return max((at * 1000 + time_ms - seen * 1000 for seen, time_ms in near), default=None)


def under_lease(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 4: whoever gave a lease back, or ended it, begins no body on it.

    A cancel and the end of a session come from others, so the body may begin until the watcher hears of them (see
    `told` and `checks.self_stop`); so may one whose watcher was held up between lease and begin. Nothing is seen
    before it happens, so an end that was seen before the body began was before it.
    """
    troubles = _Troubles(history)
    for run in history.runs:
        lease = replay.leases.get(run.fence)
        if lease is None or lease.ended is None or lease.ended >= run.begun:
            continue
        if _ended_by_others(replay, lease) or troubles.hit(lease.session, (lease.at, run.begun)):
            continue
        said = f"a body began {run.begun - lease.ended:.2f} s after its own lease was over"
        yield Verdict(4, run.id, said, run.begun, (str(lease), str(run)))


def _ended_by_others(replay: Replay, lease: Lease) -> bool:
    life = replay.sessions.get(lease.session)
    swept = life is not None and life.reaped and life.ended is not None and (lease.ended or 0.0) >= life.ended
    return swept or _cancelled(replay, lease) is not None


def _cancelled(replay: Replay, lease: Lease) -> float | None:
    """When a cancel ended this lease; None where none did."""
    each = replay.generations.get((lease.id, lease.generation))
    cancelled = each is not None and each.head is not None and each.head.status == "cancelled"
    return lease.ended if cancelled and each is not None and each.recorded == lease.ended else None


def told(history: History, replay: Replay) -> Iterator[Verdict]:
    """Promise 5: a body whose job was cancelled is stopped by the second renewal after it.

    That is asked of a watcher in touch. The first may have been on its way before the cancel, or before the body began.
    """
    troubles = _Troubles(history)
    for run in history.runs:
        lease = replay.leases.get(run.fence)
        at = None if lease is None else _cancelled(replay, lease)
        if lease is None or at is None or run.ended is None:
            continue
        heard = _second_renewal(replay.sessions.get(lease.session), max(at, run.begun))
        if heard is None:
            continue
        limit = heard + history.slack / 2
        if run.ended > limit and not troubles.hit(lease.session, (at, limit)):
            said = f"its body ran on for {run.ended - at:.2f} s after its cancel, and ended as {run.how}"
            evidence = (f"cancelled at {at:.3f}, renewed for the second time at {heard:.3f}", str(run))
            yield Verdict(5, run.id, said, run.ended, evidence)


def _second_renewal(life: SessionLife | None, since: float) -> float | None:
    later = [] if life is None else [at for at in life.renewals if at > since]
    return later[1] if len(later) > 1 else None


class _Troubles:
    """When a watcher may not have been in touch, or was paused."""

    def __init__(self, history: History) -> None:
        self._spans = list(spans_of(history, *CUT_OFF, *AWAY))

    def hit(self, session: str, span: Span) -> bool:
        """Whether one of them was under way in this span, or over a moment before."""
        post = post_of(session)
        mine = {f"watcher-{post}", f"wire-{post}", "server"}
        return any(
            target in mine and begin <= span[1] and end + SEEN_SECONDS >= span[0]
            for target, (begin, end) in self._spans
        )
