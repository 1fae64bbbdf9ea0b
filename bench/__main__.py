"""`python -m bench`: measures the queue against the raw limit of the same server, and says what it found.

A measure that fails or takes too long is told as such and stops no other one. The report goes to stdout, progress to
stderr; a page with pictures and a JSON file go to docs/benchmarks/ after a complete run, and to .state/bench/report/
after a quick one or one of some parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from bench import draining, growth, latency, memory, plans, report, speaking, start_times, submitting
from bench.conditions import conditions
from bench.figure import Found
from bench.page import page
from bench.peers import killing, measuring
from bench.peers.roster import OWN, PEERS
from bench.plotting import draw
from bench.sizes import FULL, QUICK, Sizes
from bench.stand import HOUSE
from bench.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Measure:
    """One part of the run: about how long it takes in full and quick, in seconds; the deadline is thrice that."""

    run: Callable[[Sizes, Steps], Awaitable[Found]]
    full_seconds: float
    quick_seconds: float

    def seconds(self, *, quick: bool) -> float:
        """How long it takes, about."""
        return self.quick_seconds if quick else self.full_seconds

    def deadline(self, *, quick: bool) -> float:
        """After how many seconds it is given up."""
        return max(_DEADLINE_LEAST_SECONDS, _DEADLINE_FACTOR * self.seconds(quick=quick))


MEASURES = {
    "submit": Measure(submitting.measure, 20, 4),
    "move": Measure(submitting.measure_move, 20, 4),
    "drain": Measure(draining.measure, 150, 25),
    "latency": Measure(latency.measure, 45, 10),
    "memory": Measure(memory.measure, 55, 12),
    "watcher": Measure(memory.measure_watcher, 45, 12),
    "start": Measure(start_times.measure, 20, 8),
    "plan": Measure(plans.measure, 90, 15),
    "growth": Measure(growth.measure, 450, 60),
    "speech": Measure(speaking.measure, 65, 15),
    "peers": Measure(measuring.measure, 420, 150),
    "killed": Measure(killing.measure, 300, 240),
}
NOT_QUICK = ("peers", "killed")
DOCUMENTS = (HOUSE / "docs/benchmarks").resolve()
LATEST = HOUSE / ".state/bench/report"
KNOWN_PEERS = [peer.name for peer in (OWN, *PEERS)]
_DEADLINE_FACTOR = 3
_DEADLINE_LEAST_SECONDS = 120


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small counts, two runs each: shows that all of it works")
    made.add_argument("--only", default="", metavar="PARTS", help=f"some of: {', '.join(MEASURES)}")
    made.add_argument("--peers", default="", metavar="NAMES", help=f"only these queues: {', '.join(KNOWN_PEERS)}")
    made.add_argument("--into", type=Path, help="where the page, the JSON and the pictures go (default: see above)")
    made.add_argument("--json", action="store_true", help="nothing but the JSON document on stdout")
    return made


def chosen(given: str, flag: str, known: Sequence[str]) -> list[str]:
    """What a list of names says; empty for none.

    Raises:
        ValueError: one of them is not known.

    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{flag}: {', '.join(unknown)} is not known; allowed: {', '.join(known)}")
    return names


def parts(only: str, *, quick: bool) -> list[str]:
    """What to measure: what was asked for, else all, of which a quick run leaves out those that take minutes.

    Raises:
        ValueError: a part is not known.

    """
    usual = [name for name in MEASURES if not (quick and name in NOT_QUICK)]
    return chosen(only, "--only", list(MEASURES)) or usual


async def measured(names: Sequence[str], sizes: Sizes, progress: Progress, *, quick: bool) -> Found:
    """All of them, one after the other."""
    found = Found()
    for name in names:
        measure = MEASURES[name]
        line = progress.add_task(f"{name:10}", total=None, steps=0)
        deadline = measure.deadline(quick=quick)
        step = Steps(partial(_show, progress, line))
        begun = time.monotonic()
        try:
            async with asyncio.timeout(deadline):
                found.add(await measure.run(sizes, step))
        except TimeoutError:
            found.add(step.found)
            found.failures[name] = f"not over after {deadline:.0f} s"
        except Exception as exc:  # noqa: BLE001 - one measure that fails must not take the others' figures away
            found.add(step.found)
            found.failures[name] = f"{type(exc).__name__}: {exc}"
        progress.update(line, total=1, completed=1)
        if not progress.console.is_terminal:  # where no bars move, a line for each part says how far it is
            took = time.monotonic() - begun
            progress.console.print(f"{name}: {step.count} runs in {took:.0f} s {found.failures.get(name, '')}")
    return found


def _show(progress: Progress, line: TaskID, steps: int) -> None:
    progress.update(line, steps=steps)


def lacking(names: Sequence[str], peers: Sequence[str], *, quick: bool) -> str:
    """Why a run is not complete; empty when it is."""
    left_out = [name for name in MEASURES if name not in names]
    why = [f"it leaves out {', '.join(left_out)}"] if left_out else []
    why += ["it measures only some of the other queues"] if peers else []
    why += ["it is a quick one"] if quick else []
    return " and ".join(why)


def place(given: Path | None, lack: str) -> Path:
    """Where the report goes: a complete one is kept with the documents, of anything less the last one is at hand.

    Raises:
        ValueError: a run that is not complete is to go into the documents.

    """
    if given is None:
        return LATEST if lack else DOCUMENTS
    inside = given.resolve()
    if lack and (inside == DOCUMENTS or DOCUMENTS in inside.parents):
        raise ValueError(
            f"--into {given}: docs/benchmarks keeps complete runs alone, and this one is none: {lack}; "
            "give another folder, or run all of it"
        )
    return given


def made_ready(folder: Path) -> None:
    """Make the folder, before anything is measured.

    Raises:
        ValueError: nothing can be written there.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise ValueError(f"cannot write into {folder}: {exc.strerror}; give another folder with --into") from exc


def place_after(folder: Path, found: Found, console: Console) -> Path:
    """The folder, unless that is the documents' and a part of the run came to nothing."""
    broken = [name for name in MEASURES if name in found.failures]
    if not broken or folder.resolve() != DOCUMENTS:
        return folder
    console.print(f"not complete, so not kept in docs/benchmarks: {', '.join(broken)}", highlight=False)
    return LATEST


def written(told: Mapping[str, Any], folder: Path, console: Console) -> None:
    """The JSON, the pictures and the page."""
    made_ready(folder)
    (folder / "report.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    pictures: list[str] = []
    try:
        pictures = draw(told, folder)
    except ImportError:
        console.print("no pictures: matplotlib is not installed; `make bench` does that")
    (folder / "report.md").write_text(page(told, pictures))
    console.print(f"written: {folder / 'report.md'}, report.json and {len(pictures)} pictures", highlight=False)


async def run(options: argparse.Namespace, names: Sequence[str], peers: Sequence[str], folder: Path) -> int:
    """Measure and tell; exit code 1 when something could not be measured."""
    sizes = replace(QUICK if options.quick else FULL, peers=tuple(peers))
    console = Console(stderr=True)
    about, most = (
        sum(getattr(MEASURES[name], which)(quick=options.quick) for name in names) / 60
        for which in ("seconds", "deadline")
    )
    console.print(
        f"measuring {', '.join(names)}: about {about:.1f} min on two quiet cores, {most:.0f} at most", highlight=False
    )
    begun = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.fields[steps]:>4} runs"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        facts = await conditions(sizes, quick=options.quick)
        found = await measured(names, sizes, progress, quick=options.quick)
    facts["parts"] = ", ".join(names)
    facts["took"] = f"{(time.monotonic() - begun) / 60:.1f} min"
    told = report.document(found, facts)
    # First shown, then kept: whatever happens to the disk, half an hour's figures are on the screen.
    if options.json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        print("\n".join(report.table(told)))
    written(told, place_after(folder, found, console), console)
    return 1 if found.failures else 0


def main() -> int:
    """Exit code 0, 1 when a measure failed, 2 for a wrong command line, 130 after Ctrl-C."""
    made = parser()
    options = made.parse_args()
    try:
        names = parts(options.only, quick=options.quick)
        peers = chosen(options.peers, "--peers", KNOWN_PEERS)
        folder = place(options.into, lacking(names, peers, quick=options.quick))
        made_ready(folder)
    except ValueError as exc:
        made.error(str(exc))
    # Ended from outside, it must not leave its servers and watchers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return asyncio.run(run(options, names, peers, folder))
    except KeyboardInterrupt:
        print("interrupted: nothing is kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
