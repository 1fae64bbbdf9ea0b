"""`job-watcher simulate`: what a policy would do with a workload, on a virtual clock.

It parses, calls `job_watcher.simulation` and prints; `job_watcher.cli` registers it.
"""

from __future__ import annotations

import asyncio
import stat
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - the library reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lib.command_line.output import Output
from lib.command_line.server_url_option import checked_server_url
from lib.errors import InvalidInputError
from lib.setting_fields.compute import POLICIES, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from job_watcher.simulation.scenario import Scenario

EPILOG: Final = """\b
Examples:
  job-watcher simulate examples/simulation.yaml
  job-watcher simulate FILE --policy deadline --budget 3
  job-watcher simulate FILE --picture night.svg --verbose
  job-watcher simulate --history --budget 1
                        yesterday, had it had a dollar

\b
Nothing is queued and nothing is spent. The same seed gives the same run.
It knows no crash, no network and no quota but jobs a minute and the budget;
--history knows neither priorities nor deadlines, nor jobs that failed.
Exit codes: 0 every job was done in time; 1 a job failed, was left
waiting or missed its deadline; 2 bad usage or a mistake in FILE;
3 Redis does not answer; 4 no finished job is remembered.
"""


def simulate(  # noqa: PLR0913 - one parameter for each flag
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Jobs, watchers and limits as YAML.", show_default=False)
    ] = None,
    *,
    history: Annotated[
        bool, typer.Option("--history", help="Take the jobs that ended last, and the settings of this machine.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="With --history: at most so many.")] = 1000,
    policy: Annotated[
        str | None, typer.Option("--policy", help=f"Instead of FILE's: {', '.join(POLICIES)}.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What is drawn: durations and failures.")] = 0,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=0, max=1_000_000, help="Dollars a day, instead of FILE's.", show_default=False),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE.svg", help="Draw the timeline.", show_default=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also every decision and what was said.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    redis_url: Annotated[
        str | None,
        typer.Option("--redis-url", help="With --history: server to use instead of REDIS_URL.", show_default=False),
    ] = None,
) -> None:
    """Run a workload on a virtual clock, with the conductor's own policy and limits.

    A night passes in a moment. What is said at the end stands beside what no schedule could beat.
    """
    from job_watcher.simulation import extent, report  # noqa: PLC0415 - --help must not pay for it
    from job_watcher.simulation.running import simulate as run_it  # noqa: PLC0415 - ditto

    if (file is None) != history:
        raise InvalidInputError("simulate needs a FILE or --history, not both", hint="see `job-watcher simulate -h`")
    scenario = _from_file(file) if file is not None else asyncio.run(_from_history(redis_url, limit))
    scenario = _changed(scenario, policy, budget)
    output = Output(as_json=json)
    said = extent.warning(scenario)
    if said is not None:
        output.warn(said)
    with _progress(extent.attempts(scenario)) as progress:
        run = run_it(scenario, seed=seed, progress=progress)
    if picture is not None:
        _write(picture, report.picture(run))
        output.say(f"drew {picture}")
    if json:
        output.document(report.document(run))
    else:
        output.listing(report.lines(run, verbose=verbose))
    well = all(ended.status == "done" and not ended.missed for ended in run.jobs)
    raise typer.Exit(0 if well else 1)


def _from_file(file: Path) -> Scenario:
    from job_watcher.simulation.scenario_file import read  # noqa: PLC0415 - pydantic and YAML, only where a file is read

    try:
        mode = file.stat().st_mode
    except OSError as exc:
        raise InvalidInputError(f"{file} cannot be read: {exc.strerror}", hint="name a YAML file") from exc
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        # What a device gives may have no end.
        raise InvalidInputError(f"{file} is neither a file nor a pipe", hint="name a YAML file")
    return read(file)


@contextmanager
def _progress(attempts: float) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while somebody looks; it is gone afterwards."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where a bar is shown
    from rich.progress import Progress  # noqa: PLC0415 - ditto

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("attempts", total=max(1.0, attempts))
        yield lambda ended: bar.update(task, completed=ended)


async def _from_history(redis_url: str | None, limit: int) -> Scenario:
    from job_watcher.simulation.history import recorded  # noqa: PLC0415 - Redis, only where history is read
    from lib import wiring  # noqa: PLC0415 - ditto
    from lib.settings import Settings  # noqa: PLC0415 - ditto

    settings = Settings.load(redis_url=checked_server_url(redis_url))
    catalogue = wiring.catalogue(settings)

    def capability_of(task: str) -> str:
        kind = catalogue.get(task)
        return "any" if kind is None else kind.capability

    async with wiring.opened_queue(settings) as queue:
        return await recorded(queue, settings, capability_of, limit=limit)


def _changed(scenario: Scenario, policy: str | None, budget: float | None) -> Scenario:
    if policy is not None:
        wanted: Policy | None = next((each for each in POLICIES if each == policy), None)
        if wanted is None:
            raise InvalidInputError(f"--policy: {policy!r} is not known", hint=f"allowed: {', '.join(POLICIES)}")
        scenario = replace(scenario, policy=wanted)
    if budget is not None:
        scenario = replace(scenario, limits=replace(scenario.limits, budget=round(budget * 1_000_000)))
    return scenario


def _write(path: Path, svg: str) -> None:
    try:
        path.write_text(svg, "utf-8")
    except OSError as exc:
        raise InvalidInputError(
            f"--picture: {path} cannot be written: {exc.strerror}", hint="name a file in a folder that is there"
        ) from exc
