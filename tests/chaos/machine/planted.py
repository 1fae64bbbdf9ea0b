"""Runs each planted bug and says whether, by which promise and after how long the checker found it.

The machine is trusted only as far as this goes: a checker that passes everything would pass these too.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.machine import checker, history, workload
from tests.chaos.machine.options import Options
from tests.chaos.machine.plants import PLANTS, Plant
from tests.chaos.machine.run import Run
from tests.chaos.machine.verdicts import PROMISES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.machine.checker import Findings
    from tests.chaos.machine.verdicts import Verdict

SEED: Final = 1
DRAIN_SECONDS: Final = 1.0
"""A queue with a bug in it may never be empty; what is found by then is enough."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What came of one plant: `by` are the promises that it breaks and that were found broken."""

    plant: Plant
    findings: Findings
    by: tuple[int, ...]
    shown: Verdict | None
    """The first of them, or what was found where nothing was planted."""
    begun: float

    @property
    def right(self) -> bool:
        """Whether the checker said what it must: the bug, or nothing where there is none."""
        return bool(self.by) if self.plant.promises else not self.findings.verdicts

    @property
    def line(self) -> str:
        """A line of the table."""
        if not self.plant.promises:
            return f"{self.plant.name:<32} {'clean' if self.right else 'FOUND BROKEN, and nothing was planted'}"
        if not self.right:
            return f"{self.plant.name:<32} NOT CAUGHT"
        names = ", ".join(f"{number} {PROMISES[number]}" for number in self.by)
        return f"{self.plant.name:<32} caught after {self.shown.at - self.begun if self.shown else 0:5.1f} s by {names}"


def names() -> list[str]:
    """All of them."""
    return [plant.name for plant in PLANTS]


async def grow(plant: Plant, home: Path) -> Caught:
    """One run with the bug in the copy of the code that all its processes run from."""
    options = Options(seed=SEED, jobs=0, minutes=plant.seconds / 60, faults=len(plant.faults), poison=False)
    write = {"steady": workload.steady, "varied": workload.varied, "uneven": workload.uneven}[plant.work]
    work = write(SEED, seconds=plant.seconds, producers=options.producers)
    run = Run(
        home,
        options,
        lambda _line: None,
        faults=plant.faults,
        work=work,
        prepare=plant.sow,
        drain_seconds=DRAIN_SECONDS if plant.promises and not plant.drained else None,
    )
    await run.go()
    found = history.read(home)
    findings = checker.check(found)
    hits = [verdict for verdict in findings.verdicts if verdict.promise in plant.promises]
    seen = sorted((each for each in hits or findings.verdicts if each.at), key=lambda verdict: verdict.at)
    by = tuple(sorted({verdict.promise for verdict in hits}))
    return Caught(plant, findings, by, seen[0] if seen else None, run.begun)


async def run_all(wanted: Sequence[str], say: Callable[[str], None]) -> int:
    """Each in turn, a line each; 1 when one was not caught, or the control was not clean."""
    wrong = 0
    for plant in PLANTS:
        if plant.name not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="chaos-planted-") as folder:
            caught = await grow(plant, Path(folder) / "run")
        wrong += not caught.right
        say(caught.line)
        if caught.shown is not None:
            say("    " + caught.shown.text(caught.begun).replace("\n", "\n    "))
    say(f"{wrong} of {len(wanted)} were judged wrongly" if wrong else f"all {len(wanted)} judged rightly")
    return 1 if wrong else 0
