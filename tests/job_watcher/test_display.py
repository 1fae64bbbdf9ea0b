"""What a person at a terminal sees of a watcher that ends by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from job_watcher.display import NAME_WIDTH, Bars, NoDisplay
from lib.jobqueue.protocol import Ending, Lease, Retry

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand


def lease(request_id: str) -> Lease:
    """A lease."""
    return Lease(request_id, "1", request_id, "lane:metal:any", "1-0", 0, 0, 0, "home", b"{}")


def bars() -> tuple[Bars, Progress, io.StringIO]:
    """Bars on a terminal of 80 columns that a test can read."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console)
    return Bars(progress), progress, out


async def test_one_bar_for_all_and_one_for_each_running_job(stand: Stand) -> None:
    """All jobs are counted at the beginning; a job's own bar goes when it has ended."""
    await stand.watcher().life.open()
    await stand.debug("a", "b", "c")
    await stand.debug("d", backend="cloud")  # nobody will run it
    shown, progress, out = bars()
    await shown.begin(stand.queue)
    (everything,) = progress.tasks
    assert (everything.total, everything.completed) == (3, 0)
    shown.progressed(lease("a"), {"percent": 40.0})
    shown.progressed(lease("a"), {"percent": 60.0})
    assert [task.description for task in progress.tasks] == ["all jobs", "a"]
    assert progress.tasks[1].completed == 60
    shown.ended(Ending("a", "a", "done", b""))
    assert [(task.description, task.completed) for task in progress.tasks] == [("all jobs", 1)]
    assert "a" not in out.getvalue()


async def test_a_failure_and_a_retry_are_said_above_the_bars(stand: Stand) -> None:
    """Only what a person must know; the others just count."""
    await stand.debug("a", "b")
    shown, progress, out = bars()
    await shown.begin(stand.queue)
    shown.progressed(lease("a"), {})
    shown.delayed(Retry(lease("a"), "attempt", 30_000))
    assert "again in 30 s a" in out.getvalue()
    assert progress.tasks[0].completed == 0
    shown.ended(Ending("b[red]", "b", "failed", b""))
    assert "failed b[red]" in out.getvalue()
    assert progress.tasks[0].completed == 1


async def test_a_second_life_goes_on_with_the_same_bar(stand: Stand) -> None:
    """A lost session begins anew; what was done stays done."""
    await stand.debug("a")
    shown, progress, _ = bars()
    await shown.begin(stand.queue)
    await shown.begin(stand.queue)
    assert len(progress.tasks) == 1


def test_a_long_name_keeps_its_end() -> None:
    """Chapters of one book differ at the end of their names."""
    shown, progress, _ = bars()
    shown.progressed(lease("x" * 100 + "-chapter-07"), {"percent": 1})
    assert len(progress.tasks[0].description) == NAME_WIDTH
    assert progress.tasks[0].description.endswith("-chapter-07")


def test_a_name_is_never_read_as_markup() -> None:
    """A request_id may hold brackets: `[/]` would end the display, and with it the commit that told it."""
    shown, progress, out = bars()
    with progress:
        shown.progressed(lease("x[/]"), {"percent": 1})
        progress.refresh()
        shown.delayed(Retry(lease("x[/]"), "attempt", 1_000))
        shown.ended(Ending("y[/nothing]", "y", "failed", b""))
    assert "x[/]" in out.getvalue()
    assert "failed y[/nothing]" in out.getvalue()


def test_an_end_without_a_bar_is_no_error() -> None:
    """A job that never reported, an end before the beginning."""
    shown, progress, _ = bars()
    shown.ended(Ending("a", "a", "done", b""))
    assert progress.tasks == []


async def test_no_display_shows_nothing(stand: Stand) -> None:
    """The log is enough."""
    nothing = NoDisplay()
    await nothing.begin(stand.queue)
    nothing.progressed(lease("a"), {})
    nothing.delayed(Retry(lease("a"), "attempt", 1))
    nothing.ended(Ending("a", "a", "done", b""))
