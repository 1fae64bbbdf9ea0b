"""What a person at a terminal sees of a watcher that ends by itself."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from job_watcher.display import NAME_WIDTH, Bars, NoDisplay
from job_watcher.draining import SOON_MS
from lib.jobqueue.protocol import Ending, Lease, Retry
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand
    from tests.support.servers import RealServer


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
    await shown.count(stand.queue)
    (everything,) = progress.tasks
    assert (everything.total, everything.completed) == (3, 0)
    shown.progressed(lease("a"), {"percent": 40.0})
    shown.progressed(lease("a"), {"percent": 60.0})
    assert [task.description for task in progress.tasks] == ["all jobs", "a"]
    assert progress.tasks[1].completed == 60
    shown.ended(Ending("a", "a", "done", b""))
    assert [(task.description, task.completed) for task in progress.tasks] == [("all jobs", 1)]
    assert "a" not in out.getvalue()


async def test_a_job_that_is_tried_again_or_taken_away_loses_its_bar(stand: Stand) -> None:
    """It may come back, here or elsewhere; none of it is done."""
    await stand.watcher().life.open()
    await stand.debug("a", "b")
    shown, progress, _ = bars()
    await shown.count(stand.queue)
    for each in ("a", "b"):
        shown.progressed(lease(each), {})
    shown.delayed(Retry(lease("a"), "attempt", 30_000))
    shown.stopped("b")
    shown.stopped("never seen")
    assert [(task.description, task.completed, task.total) for task in progress.tasks] == [("all jobs", 0, 2)]


async def test_all_jobs_are_those_that_are_left(stand: Stand) -> None:
    """Cancelled and added elsewhere: the total follows, what ended here stays counted."""
    await stand.watcher().life.open()
    await stand.debug("a", "b", "c")
    shown, progress, _ = bars()
    await shown.count(stand.queue)
    (everything,) = progress.tasks
    await stand.cancel("a")
    await stand.cancel("b")
    following = asyncio.create_task(shown.follow(stand.queue))
    await wait_until(lambda: everything.total == 1)
    await stand.debug("d", "e")
    await wait_until(lambda: everything.total == 3)
    following.cancel()
    await asyncio.wait([following])
    # Counted between the record and the word of it: never more done than there are.
    for each in ("c", "d", "e", "f"):
        shown.ended(Ending(each, each, "done", b""))
    assert (everything.completed, everything.total) == (4, 4)


async def test_jobs_due_soon_are_among_all_jobs_of_a_drain(stand: Stand) -> None:
    """A drain waits for them, so `0/0` would be wrong."""
    await stand.watcher().life.open()
    await stand.debug("a", run_after=(datetime.now(UTC) + timedelta(minutes=10)).isoformat())
    for soon_ms, total in ((0, 0), (SOON_MS, 1)):
        _, progress, _ = bars()
        await Bars(progress, soon_ms=soon_ms).count(stand.queue)
        assert [task.total for task in progress.tasks] == [total]


async def test_a_count_without_a_server_changes_nothing(own_stand: Stand, own_valkey: RealServer) -> None:
    """The duties say that it is away."""
    shown, progress, _ = bars()
    await shown.count(own_stand.queue)
    own_valkey.kill()
    await shown.count(own_stand.queue)
    assert [(task.completed, task.total) for task in progress.tasks] == [(0, 0)]


async def test_a_second_life_goes_on_with_the_same_bar(stand: Stand) -> None:
    """A lost session begins anew; what was done stays done."""
    await stand.debug("a")
    shown, progress, _ = bars()
    await shown.count(stand.queue)
    await shown.count(stand.queue)
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


def test_an_end_without_a_bar_is_no_error() -> None:
    """A job that never reported, an end before the beginning."""
    shown, progress, _ = bars()
    shown.ended(Ending("a", "a", "done", b""))
    assert progress.tasks == []


async def test_no_display_shows_nothing(stand: Stand) -> None:
    """The log is enough."""
    nothing = NoDisplay()
    await nothing.count(stand.queue)
    nothing.progressed(lease("a"), {})
    nothing.delayed(Retry(lease("a"), "attempt", 1))
    nothing.ended(Ending("a", "a", "done", b""))
    nothing.stopped("a")
    await nothing.follow(stand.queue)
