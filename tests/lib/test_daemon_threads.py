"""A blocking call ends for its caller when it should, whatever it does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from lib.daemon_threads import in_thread


async def test_it_returns_and_raises_what_the_work_does() -> None:
    """As if it had been called."""
    assert await in_thread(lambda _: 7, 5, "t") == 7
    with pytest.raises(ValueError, match="seven"):
        await in_thread(lambda _: int("seven"), 5, "t")


async def test_the_loop_runs_while_it_works() -> None:
    """Another coroutine ends the work that is waited for."""
    go = threading.Event()
    working = asyncio.create_task(in_thread(lambda _: go.wait(10), 10, "t"))
    await asyncio.sleep(0)
    go.set()
    assert await working is True


async def test_a_deadline_leaves_the_work_behind() -> None:
    """Its late outcome is heard by nobody, and is no warning."""
    go, ended = threading.Event(), threading.Event()

    def work(_: threading.Event) -> None:
        go.wait(10)
        ended.set()
        raise RuntimeError("too late")

    with pytest.raises(TimeoutError):
        await in_thread(work, 0.01, "t")
    go.set()
    assert await asyncio.to_thread(ended.wait, 10)
    await asyncio.sleep(0)


async def test_cancelling_the_caller_leaves_the_work_behind() -> None:
    """Cancelled at once, though the work goes on."""
    go = threading.Event()
    working = asyncio.create_task(in_thread(lambda _: go.wait(10), 10, "t"))
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    go.set()


def test_a_process_does_not_wait_for_work_that_hangs() -> None:
    """It ends though the thread never does."""
    code = (
        "import asyncio, threading, contextlib\n"
        "from lib.daemon_threads import in_thread\n"
        "async def main():\n"
        "    with contextlib.suppress(TimeoutError):\n"
        "        await in_thread(lambda _: threading.Event().wait(), 0.01, 't')\n"
        "asyncio.run(main())"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


async def test_what_is_given_up_is_told_and_has_a_last_word() -> None:
    """The caller waits for it that long, and no longer."""
    cleaned = threading.Event()

    def work(stop: threading.Event) -> None:
        stop.wait(10)
        cleaned.set()

    with pytest.raises(TimeoutError):
        await in_thread(work, 0.01, "t", last_word_seconds=10)
    assert cleaned.is_set()
