"""What a run and its check say to people: the seed, the schedule in short, a table of promises, the first verdicts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.machine.schedule import MACHINE_LIFE_SECONDS, MACHINE_SWEEP_SECONDS
from tests.chaos.machine.verdicts import PROMISES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.machine.checker import Findings
    from tests.chaos.machine.options import Options
    from tests.chaos.machine.recovery import Recovery
    from tests.chaos.machine.schedule import Fault

_SHOWN: Final = 10


def head(options: Options, faults: Sequence[Fault]) -> str:
    """Before the run."""
    kinds = Counter(fault.kind for fault in faults)
    many = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return (
        f"seed {options.seed}: {options.jobs} jobs, {options.watchers} watchers of {options.slots} slots, "
        f"{options.producers} producers, {options.minutes:g} minutes, {len(faults)} faults\n  {many}"
    )


def replay_with(options: Options) -> str:
    """How to do it again."""
    return (
        f"replay with: make chaos SEED={options.seed} JOBS={options.jobs} MINUTES={options.minutes:g} "
        f"FAULTS={options.faults}"
    )


def conditions(about: Mapping[str, Any]) -> str:
    """Under what a run was made, from what it noted of itself; an older one noted less."""
    life, sweep, renew = (f"{about[name]:g} s" if name in about else "?" for name in ("life", "sweep", "renew"))
    server, commit = about.get("server", "unknown"), about.get("commit", "unknown")
    return f"L {life}, S {sweep}, renewals every {renew}; server {server}; commit {commit}"


def _recovered(found: Recovery) -> str:
    """The figures of promise 6."""
    text = f"{len(found.waits) + len(found.disturbed)} jobs were held by the dead; worst recovery {found.worst:.2f} s"
    text += f", L + S = {MACHINE_LIFE_SECONDS + MACHINE_SWEEP_SECONDS:g} s"
    if found.disturbed:
        text += f"; {found.worst_disturbed:.2f} s where the server was away (not counted) or its clock stepped"
    return text


def tail(found: Findings, *, begun: float = 0.0) -> str:
    """After the check: figures, a line for each promise, and the first verdicts with their evidence."""
    ended = ", ".join(f"{count} {status}" for status, count in sorted(found.statuses.items()))
    lines = [
        f"{found.accepted} generations accepted: {ended}",
        f"{found.runs} bodies began, {found.runs_again} of them not the first of their generation",
        f"{found.unknown} calls of producers without an answer",
        f"{sum(found.faults.values())} faults, {found.recovery.deaths} deaths of watchers",
        _recovered(found.recovery),
    ]
    lines.append(f"{found.lost} lost, {found.twice} recorded twice")
    if found.not_done:
        lines.append(f"faults that found nothing to break: {len(found.not_done)} ({found.not_done[0]})")
    for number, name in PROMISES.items():
        count = found.broken[number]
        lines.append(f"  {number} {name:<28} {f'BROKEN, {count} times' if count else 'held'}")
    lines += [verdict.text(begun) for verdict in found.verdicts[:_SHOWN]]
    if len(found.verdicts) > _SHOWN:
        lines.append(f"… and {len(found.verdicts) - _SHOWN} more, all in verdicts.txt")
    return "\n".join(lines)
