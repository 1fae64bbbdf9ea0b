"""`job-runner watch`: the queue live."""

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from job_runner.cli.options import NoColor, Quiet, RedisUrl
from job_runner.cli.running import settings_of
from job_runner.cli.tables import rented_states, rented_text, spend_text
from job_runner.service.watching import BLOCK_MS, Snapshot, snapshots
from lib.command_line.output import Output
from lib.redisqueue.reader import Event
from lib.settings import Settings
from lib.terminal import clean
from lib.wiring import open_blocking, opened_queue

if TYPE_CHECKING:
    from job_runner.cli.live import LiveView

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner watch
  job-runner watch --until-empty

On a terminal it shows bars for the running jobs; into a file or pipe it writes a line for each change. Ctrl-C ends
it, and nothing else.
"""

UntilEmpty = Annotated[bool, typer.Option("--until-empty", help="End when nothing waits or runs and all is published.")]

_EVENT_IDS_MAX = 5
_STATES = ("queued", "leased", "delayed", "done", "failed", "cancelled")


@app.command(epilog=EXAMPLES)
def watch(
    *,
    until_empty: UntilEmpty = False,
    redis_url: RedisUrl = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Follow the queue live: progress bars, lanes, rate and ETA."""
    output = Output(quiet=quiet, no_color=no_color)
    asyncio.run(_follow(settings_of(redis_url), output, until_empty=until_empty))


async def _follow(settings: Settings, output: Output, *, until_empty: bool) -> None:
    blocking = open_blocking(settings, block_seconds=BLOCK_MS / 1000)
    try:
        async with opened_queue(settings) as queue:
            with ExitStack() as stack:
                show = _live(output, stack) if output.on_terminal else _Lines(output)
                async for snapshot in snapshots(queue, blocking, settings):
                    show(snapshot)
                    if until_empty and snapshot.empty and not snapshot.trouble:
                        return
    finally:
        await blocking.aclose()


def _live(output: Output, stack: ExitStack) -> "LiveView":
    # Drawing costs 70 ms to import, which a pipe need not pay.
    from job_runner.cli.live import LiveView  # noqa: PLC0415

    return stack.enter_context(LiveView(colored=output.colored))


class _Lines:
    """The plain view: a line for each change, and one for the totals when they change."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._totals = ""
        self._paid = ""
        self._rented = ""
        self._trouble = ""

    def __call__(self, snapshot: Snapshot) -> None:
        if snapshot.trouble != self._trouble:
            self._trouble = snapshot.trouble
            self._output.warn(snapshot.trouble or "Redis answers again")
        for event in snapshot.events:
            if event.kind not in {"progress", "moved"}:
                self._output.data(f"{event.kind}: {_ids(event)}{_about(event)}")
        totals = totals_text(snapshot)
        if totals != self._totals:
            self._totals = totals
            self._output.data(totals)
        paid = paid_text(snapshot)
        if paid != self._paid:
            self._paid = paid
            self._output.data(paid or "nothing is closed, nothing spent today")
        # Their jobs and dollars change with every look: only what becomes of them is a line.
        rented = rented_states(snapshot.document["instances"])
        if rented != self._rented:
            self._rented = rented
            said = rented_text(snapshot.document)
            self._output.data(f"rented: {said}" if said else "nothing is rented")


def totals_text(snapshot: Snapshot) -> str:
    """The totals in one line."""
    totals = snapshot.document["totals"]
    return ", ".join(f"{totals[name]} {name}" for name in _STATES)


def paid_text(snapshot: Snapshot) -> str:
    """What was spent, and which API grants nothing now; without what changes with every second."""
    document = snapshot.document
    spend = document["spend"]
    spent = spend_text({**spend, "reserved_usd": 0.0}) if spend["today_usd"] else ""
    closed = [f"{clean(str(pool['model']))} is closed" for pool in document["pools"] if pool["closed_sec"] > 0]
    return ", ".join([*([f"spent today: {spent}"] if spent else []), *closed])


def _about(event: Event) -> str:
    """Where a callback did not arrive, and why; both are words of others."""
    return f" ({clean(event.host)}: {clean(event.why)})" if event.host or event.why else ""


def _ids(event: Event) -> str:
    shown = ", ".join(event.request_ids[:_EVENT_IDS_MAX])
    left = len(event.request_ids) - _EVENT_IDS_MAX
    return f"{shown} and {left} more" if left > 0 else shown or "-"
