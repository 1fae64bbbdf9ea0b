"""The chaos machine's command line.

    python -m tests.chaos.machine [--seed N] [--jobs N] [--minutes M] [--faults N] [--watchers N] [--short] [--dir DIR]
    python -m tests.chaos.machine schedule [--seed N] …      only print what would be broken when
    python -m tests.chaos.machine check DIR                  judge a run again from what it left
    python -m tests.chaos.machine planted [NAME …]           every planted bug must be caught

Exit code 0: every promise held; 1: one was broken (or a planted bug was not caught); 2: usage; 130: stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.machine import checker, history, planted, report, run, schedule, stopping
from tests.chaos.machine.options import SHORT_FAULTS, SHORT_JOBS, SHORT_MINUTES, Options
from tests.chaos.machine.replay import UnknownWordError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

STOPPED: Final = 130
"""By Ctrl-C or another signal, before there was a verdict."""


def say(line: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def options_of(words: argparse.Namespace) -> Options:
    """What was asked for."""
    usual = Options(seed=0)
    seed = random.randrange(1_000_000) if words.seed is None else words.seed  # noqa: S311 - printed, for a replay
    jobs, minutes, faults = usual.jobs, usual.minutes, usual.faults
    if words.short:
        jobs, minutes, faults = SHORT_JOBS, SHORT_MINUTES, SHORT_FAULTS
    return Options(
        seed=seed,
        jobs=words.jobs or jobs,
        minutes=words.minutes or minutes,
        faults=faults if words.faults is None else words.faults,
        watchers=words.watchers,
        poison=not words.short,
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m tests.chaos.machine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("command", nargs="?", default="run", choices=("run", "schedule", "check", "planted"))
    found.add_argument("names", nargs="*", help="a directory to check, or names of planted bugs")
    found.add_argument("--seed", type=int, help="drawn and printed when not given")
    found.add_argument("--jobs", type=_positive_int)
    found.add_argument("--minutes", type=_positive)
    found.add_argument("--faults", type=int)
    found.add_argument("--watchers", type=_positive_int, default=3)
    found.add_argument("--short", action="store_true", help=f"{SHORT_JOBS} jobs, {SHORT_FAULTS} faults, half a minute")
    found.add_argument(
        "--slack",
        type=_positive,
        default=2.0,
        help="seconds that a busy machine may take beyond L + S (2)",
    )
    found.add_argument("--dir", type=Path, help="keep the run here; must not exist")
    return found


def _positive(word: str) -> float:
    number = float(word)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{word} is not above 0")
    return number


def _positive_int(word: str) -> int:
    number = int(word)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{word} is not above 0")
    return number


async def one_run(options: Options, home: Path, slack: float) -> int:
    """Run and check; the exit code."""
    plan = run.drawn(options)
    say(report.head(options, plan))
    await run.Run(home, options, say).go()
    return judge(home, options, slack)


def judge(home: Path, options: Options, slack: float) -> int:
    """Check what a run left, say so, and write every verdict beside it; the exit code."""
    found = history.read(home)
    found.slack = slack
    findings = checker.check(found)
    begun = next((note["at"] for note in found.ground if note["is"] == "begun"), 0.0)
    (home / "verdicts.txt").write_text("".join(each.text(begun) + "\n" for each in findings.verdicts))
    say(report.conditions(json.loads((home / "run.json").read_text())))
    say(report.tail(findings, begun=begun))
    say(report.replay_with(options))
    return 1 if findings.verdicts else 0


def main(line: Sequence[str] | None = None) -> int:
    """Parse, do, and say how it went; `line` is the command line, this process's own when None."""
    asked = parser()
    words = asked.parse_args(line)
    if words.command == "check":
        if len(words.names) != 1 or not (Path(words.names[0]) / "run.json").exists():
            asked.error("check needs the directory of a run")
        home = Path(words.names[0])
        try:
            return judge(home, history.options_of(home), words.slack)
        except UnknownWordError as exc:
            asked.error(f"{home} cannot be judged: {exc}")
    if words.command == "planted":
        unknown = set(words.names) - set(planted.names())
        if unknown:
            asked.error(f"no such planted bug: {', '.join(sorted(unknown))}; there are {', '.join(planted.names())}")
        return _until_stopped(planted.run_all(words.names or planted.names(), say))
    if words.names:
        asked.error(f"what is {' '.join(words.names)}?")
    options = options_of(words)
    if words.command == "schedule":
        say(schedule.text(run.drawn(options)))
        return 0
    return _kept_if_broken(options, words.dir, words.slack)


def _until_stopped(work: Coroutine[Any, Any, int]) -> int:
    """The exit code of the work, and 130 when it was ended from outside."""
    try:
        return asyncio.run(stopping.stoppable(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped")
        return STOPPED


def _kept_if_broken(options: Options, wished: Path | None, slack: float) -> int:
    if wished is not None:
        if wished.exists():
            say(f"{wished} exists already")
            return 2
        wished.mkdir(parents=True)
    home = (wished or Path(tempfile.mkdtemp(prefix="chaos-"))).resolve()
    code = 1
    try:
        code = _until_stopped(one_run(options, home, slack))
    finally:
        # What was stopped half way has nothing to say; it stays only where somebody wished for it.
        if wished is None and code in {0, STOPPED}:
            shutil.rmtree(home, ignore_errors=True)
        else:
            say(f"the run is kept in {home}; judge it again with: .venv/bin/python -m tests.chaos.machine check {home}")
    return code


if __name__ == "__main__":
    sys.exit(main())
