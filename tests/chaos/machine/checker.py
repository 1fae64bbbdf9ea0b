"""The checker: a history in, every broken promise and the figures out. Pure but for the outputs, which it opens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.machine import checks, soundness
from tests.chaos.machine.recovery import Recovery, recovered

if TYPE_CHECKING:
    from tests.chaos.machine.history import History
    from tests.chaos.machine.verdicts import Verdict


@dataclass(slots=True)
class Findings:
    """What a history showed."""

    verdicts: list[Verdict] = field(default_factory=list)
    recovery: Recovery = field(default_factory=Recovery)
    accepted: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    runs_again: int = 0
    """Bodies beyond the first of a generation."""
    unknown: int = 0
    """Calls that got no answer."""
    faults: Counter[str] = field(default_factory=Counter)
    not_done: list[str] = field(default_factory=list)
    """Faults that found nothing to break."""

    @property
    def lost(self) -> int:
        """Jobs that were accepted and are gone or never ended."""
        return len({verdict.job for verdict in self.verdicts if verdict.promise == 1})

    @property
    def twice(self) -> int:
        """Generations with a second record."""
        return sum("a second record" in verdict.said for verdict in self.verdicts)

    @property
    def broken(self) -> Counter[int]:
        """How many verdicts of each promise."""
        return Counter(verdict.promise for verdict in self.verdicts)


def check(history: History) -> Findings:
    """Everything that is wrong with a history, in the order of the promises."""
    replay, verdicts = soundness.replayed(history)
    for look in checks.ALL:
        verdicts += look(history, replay)
    recovery = recovered(history, replay)
    verdicts += recovery.verdicts
    ended = [each.head.status for each in replay.generations.values() if each.head is not None]
    generations = {replay.leases[run.fence].generation for run in history.runs if run.fence in replay.leases}
    return Findings(
        verdicts=sorted(verdicts, key=lambda verdict: (verdict.promise, verdict.at)),
        recovery=recovery,
        accepted=len(replay.generations),
        statuses=Counter(ended),
        runs=len(history.runs),
        runs_again=len(history.runs) - len(generations),
        unknown=sum(call.codes is None for call in history.calls),
        faults=Counter(note["kind"] for note in history.ground if note["is"] == "begin"),
        not_done=[
            f"{note['kind']}: {note['said']}"
            for note in history.ground
            if note["is"] == "end" and note["said"].startswith(("not done", "no job", "it was"))
        ],
    )
