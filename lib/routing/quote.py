"""What jobs would cost and when they would be done, for each way to run them, before any is queued. Pure.

`quote` is given the jobs in groups of equal ones, what a job of each group takes on each backend (measured, or a
built-in estimate), and what there is to run them on. It answers a row for each way and marks the one to take. How the
figures come about, so that everybody can check them:

- p50 of a finish time: every job takes its mean. p90: the jobs of a slot together take what they do not exceed nine
  times out of ten; of many jobs the chance spreads little, so what is left is how well their mean is known.
- The risk of a deadline: how likely a normal distribution through p50 and p90 lies beyond it, of the group that is
  worst off. That of a budget: the same of the dollars. Both together: that not both are met, as if they were
  independent.
- What no way can help is set aside and named, so that it does not hide what the ways differ in: jobs that have no place
  anywhere are in no row; jobs that are late in every way run, and pay, and count neither as late nor in the risk.
- A rented machine is paid for from now until some seconds after its last job, whatever it did meanwhile; all that may
  be rented begin at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import erf, isfinite, sqrt
from typing import TYPE_CHECKING, Final

from lib.routing.filling import NEVER, Calendar, Length, hand_out
from lib.routing.quoted import LOCAL, Z90, Aside, Backend, Group, Hopeless, Quote, Row, Way, Wish
from lib.routing.view import RENTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lib.setting_fields.compute import Policy


_CALLED: Final = {LOCAL: "local", RENTED: "rented"}
_PAIR: Final = 2


def quote(groups: Sequence[Group], backends: Mapping[str, Backend], wish: Wish, policies: Iterable[Policy]) -> Quote:
    """The rows of all ways that differ; `groups` in the order in which their jobs would be dealt out."""
    wanted = _wanted(groups, wish)
    aside = _aside(groups, wanted)
    wanted = [group for group in wanted if group.takes]
    rows: list[Row] = []
    for way in _ways(backends, policies):
        row = row_of(wanted, backends, way, wish)
        if any(row.jobs.values()) and all(_split(row) != _split(other) for other in rows):
            rows.append(row)
    if not rows:
        return Quote((), None, "", aside)
    best, reason = _choice(rows, asked=any(group.deadline is not None for group in wanted) or wish.budget is not None)
    return Quote(tuple(rows), best, reason, aside)


def _wanted(groups: Sequence[Group], wish: Wish) -> list[Group]:
    """The groups with the deadline that they are held to: none where every way misses it, and `lost` says why.

    The deadline of the whole is no longer asked of what cannot keep it, unless nothing could: that is the answer then.
    """
    found: list[Group] = []
    for group in groups:
        lost = group.lost
        if lost is None and group.deadline is not None and group.takes and group.alone() > group.deadline:
            lost = "past" if group.deadline <= 0 else "near"
        found.append(replace(group, deadline=None if lost else group.deadline, lost=lost))
    if wish.deadline is None:
        return found
    in_time = [not group.takes or group.alone() <= wish.deadline for group in found]
    nothing = not any(kept for kept, group in zip(in_time, found, strict=True) if group.takes)
    return [
        replace(group, deadline=_nearer(group.deadline, wish.deadline))
        if kept or nothing
        else replace(group, deadline=None, lost=group.lost or "wish")
        for group, kept in zip(found, in_time, strict=True)
    ]


def _aside(groups: Sequence[Group], wanted: Sequence[Group]) -> tuple[Aside, ...]:
    """What no way helps, by the reason."""
    found: dict[Hopeless, Aside] = {}
    for group, held_to in zip(groups, wanted, strict=True):
        why: Hopeless | None = held_to.lost if group.takes else "nowhere"
        if why is not None:
            last = found.get(why, Aside(why, 0, ()))
            found[why] = Aside(why, last.jobs + group.count, last.first + group.first)
    return tuple(found.values())


def _split(row: Row) -> dict[str, int]:
    """How its jobs are dealt out, without the backends that get none: two ways of one split are one."""
    return {name: count for name, count in row.jobs.items() if count}


def _ways(backends: Mapping[str, Backend], policies: Iterable[Policy]) -> list[Way]:
    names = [name for name, backend in backends.items() if backend.slots > 0]
    found = [Way(f"{_CALLED.get(name, name)} only", (name,)) for name in names]
    together = [tuple(names)] if len(names) > 1 else []
    if len(names) > _PAIR:
        # What the free machine does with one other alone; without it nobody would want to do.
        together = [(names[0], name) for name in names[1:]] + together
    for each in together:
        found += [Way(" + ".join(_CALLED.get(name, name) for name in each), each, policy) for policy in policies]
    return found


@dataclass(slots=True)
class _Run:
    """One way carried through at one length of the jobs."""

    shares: list[dict[str, int]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    begins: list[float] = field(default_factory=list)
    impossible: int = 0
    rent: float = 0.0


def row_of(groups: Sequence[Group], backends: Mapping[str, Backend], way: Way, wish: Wish) -> Row:
    """What one way comes to."""
    # What is split by deadlines is split so that it keeps them at p90.
    slow = _carried(groups, backends, way, Z90)
    middle = _carried(groups, backends, way, 0.0, slow.shares if way.policy == "deadline" else None)
    jobs = {name: sum(share.get(name, 0) for share in middle.shares) for name in way.backends}
    usd, variance = 0.0, 0.0
    for group, share in zip(groups, middle.shares, strict=True):
        for name, count in share.items():
            usd += count * group.takes[name].usd
            variance += group.takes[name].variance_usd(count)
    usd += middle.rent
    dear = usd + slow.rent - middle.rent + Z90 * sqrt(variance)
    asked = [i for i, group in enumerate(groups) if group.deadline is not None]
    late = sum(_late(groups[i], slow.begins[i], slow.ends[i]) for i in asked)
    return Row(
        way,
        jobs,
        (max(middle.ends, default=0.0), max(slow.ends, default=0.0)),
        (usd, dear),
        slow.impossible,
        late,
        max((_beyond(groups[i].deadline or 0.0, middle.ends[i], slow.ends[i]) for i in asked), default=None),
        None if wish.budget is None else _beyond(wish.budget, usd, dear),
        late == 0,
        wish.budget is None or dear <= wish.budget,
    )


def _carried(
    groups: Sequence[Group],
    backends: Mapping[str, Backend],
    way: Way,
    z: float,
    split: Sequence[Mapping[str, int]] | None = None,
) -> _Run:
    calendars = {name: backends[name].calendar() for name in way.backends}
    run = _Run([{} for _ in groups], [0.0] * len(groups), [0.0] * len(groups))
    for i in _order(groups, way.policy):
        group = groups[i]
        names = [name for name in way.backends if name in group.takes]
        if way.policy == "cheapest":
            names = [min(names, key=lambda name: group.takes[name].usd)] if names else []
        if not names:
            run.impossible += group.count
            continue
        lengths = {name: _length(group, name, backends[name].slots, z) for name in names}
        run.begins[i] = min(min(calendars[name].free) for name in names)
        if split is not None:
            parts: list[tuple[int, tuple[str, ...]]] = [(count, (name,)) for name, count in split[i].items() if count]
        elif way.policy == "deadline" and len(names) > 1:
            parts = _by_deadline(group, calendars, lengths)
        else:
            parts = [(group.count, tuple(names))]
        for count, where in parts:
            shares, end = hand_out(count, [(calendars[name], lengths[name]) for name in where])
            run.ends[i] = max(run.ends[i], end)
            for name, share in zip(where, shares, strict=True):
                run.shares[i][name] = run.shares[i].get(name, 0) + share
    run.rent = sum(backends[name].rent(calendar) for name, calendar in calendars.items())
    return run


def _order(groups: Sequence[Group], policy: Policy) -> list[int]:
    if policy != "deadline":
        return list(range(len(groups)))

    def urgency(i: int) -> tuple[bool, float]:
        # Behind those that can be met, before those that have none.
        deadline, lost = groups[i].deadline, groups[i].lost is not None
        return deadline is None and not lost, NEVER if deadline is None else deadline

    return sorted(range(len(groups)), key=urgency)


def _length(group: Group, name: str, slots: int, z: float) -> Length:
    taking = group.takes[name]
    return Length(taking.seconds(z, group.count / slots), taking.uses())


def _by_deadline(
    group: Group, calendars: Mapping[str, Calendar], lengths: Mapping[str, Length]
) -> list[tuple[int, tuple[str, ...]]]:
    """As many as end in time on the cheapest, then on the next; the others wherever they end soonest."""
    names = tuple(sorted(lengths, key=lambda name: group.takes[name].usd))
    if group.deadline is None:
        return [(group.count, names if group.lost else names[:1])]
    parts: list[tuple[int, tuple[str, ...]]] = []
    left = group.count
    for name in names:
        length = lengths[name]
        count = min(left, calendars[name].ends_by(group.deadline, length.filling, length.uses))
        if count:
            parts.append((count, (name,)))
            left -= count
    return [*parts, (left, names)] if left else parts


def _late(group: Group, begin: float, end: float) -> int:
    """How many of its jobs end after the deadline, which are spread evenly over its time."""
    deadline = group.deadline
    if deadline is None or end <= deadline:
        return 0
    if not isfinite(end) or deadline <= begin:
        return group.count
    return max(1, round(group.count * (end - deadline) / (end - begin)))


def _beyond(limit: float, p50: float, p90: float) -> float:
    """How likely it is to be more than `limit`."""
    if not isfinite(p50):
        return 1.0
    if not isfinite(p90):
        p90 = max(p50, limit) * 10
    deviation = (p90 - p50) / Z90
    if deviation <= 0:
        return float(p50 > limit)
    return (1 - erf((limit - p50) / deviation / sqrt(2))) / 2


def _nearer(one: float | None, other: float | None) -> float | None:
    known = [each for each in (one, other) if each is not None]
    return min(known, default=None)


def _choice(rows: Sequence[Row], *, asked: bool) -> tuple[int, str]:
    """The number of the row to take, and why."""
    numbers = range(len(rows))
    fitting = [i for i in numbers if rows[i].fits]
    if fitting:
        if asked:
            # Done in time is done in time: of equal prices the local way, else the one that is done first.
            best = min(fitting, key=lambda i: (rows[i].usd[1], rows[i].way.backends != (LOCAL,), rows[i].seconds[1]))
            return best, "the cheapest that keeps to what was asked, at p90"
        return min(fitting, key=lambda i: (rows[i].usd[1], rows[i].seconds[1])), "the cheapest"
    whole = [i for i in numbers if not rows[i].impossible and isfinite(rows[i].seconds[1])]
    if not whole:
        best = min(numbers, key=lambda i: (rows[i].impossible, rows[i].seconds[1]))
        return best, "no way runs all jobs: the one that runs the most"
    within = [i for i in whole if rows[i].keeps_budget]
    if not within:
        return min(
            whole, key=lambda i: (rows[i].usd[1], rows[i].seconds[1])
        ), "every way costs more than the budget: the cheapest"
    best = min(within, key=lambda i: (rows[i].late, rows[i].seconds[1], rows[i].usd[1]))
    beside = " within the budget" if len(within) < len(whole) else ""
    return best, f"no way{beside} meets the deadline at p90: the one with the fewest late jobs"
