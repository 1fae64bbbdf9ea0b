"""The parent's side against children that die at the wrong moment or say the wrong thing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.child import wire
from job_watcher.child.environment import child_environment
from job_watcher.child.launch import Launched
from job_watcher.child.output import ChildOutput
from job_watcher.child.process import Attempt, ChildGoneError, ChildProcess, exit_name_of
from job_watcher.child.typed_errors import parts_of
from job_watcher.crashes import ChildCrashedError
from lib.errors import PermanentError, TaskTimeoutError
from tests.support.running import alive, open_descriptors, settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Reports = list[dict[str, Any]]


async def puppet() -> tuple[ChildProcess, socket.socket]:
    """A child that does nothing by itself, and the end of the wire through which the test speaks for it."""
    near, far = socket.socketpair()
    read, write = os.pipe()
    lifeline_read, lifeline = os.pipe()
    process = await asyncio.create_subprocess_exec("sleep", "3600", start_new_session=True, stdout=write)
    os.close(write)
    os.close(lifeline_read)
    reader, writer = await asyncio.open_unix_connection(sock=near)
    far.setblocking(False)  # noqa: FBT003  the standard library's own signature
    return ChildProcess(Launched(process, reader, writer, ChildOutput(read), lifeline)), far


def attempt(home: Path, on_progress: Callable[[dict[str, Any]], None] | None = None) -> Attempt:
    """Any job."""
    return Attempt(spec("debug"), 1, home, on_progress or (lambda _: None))


async def test_a_child_that_is_dead_before_the_body_begins_is_nobodys_crash(tmp_path: Path) -> None:
    """Killed while idle, unseen until the next job: that job is not blamed."""
    child = await ChildProcess.start(child_environment(settings_in(tmp_path), os.environ))
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildGoneError):
        await child.run(attempt(tmp_path))
    assert not child.usable
    await child.kill()


async def test_a_child_that_dies_after_it_began_is_its_jobs_crash(tmp_path: Path) -> None:
    """Here the blame begins."""
    child, far = await puppet()
    running = asyncio.create_task(child.run(attempt(tmp_path)))
    await wait_until(lambda: child._serial == 1, what="the order is out")
    far.send(wire.encode(wire.Begun(1)))
    os.kill(child._process.pid, signal.SIGSEGV)
    far.close()
    with pytest.raises(ChildCrashedError) as caught:
        await running
    assert caught.value.exit_name == "SIGSEGV"


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x04\xfe\xfe\xfe\xfe"])
async def test_garbage_on_the_wire_ends_the_child_and_its_job(tmp_path: Path, garbage: bytes) -> None:
    """A child whose words make no sense is not asked again; the crash says that it was garbage."""
    before = open_descriptors()
    child, far = await puppet()
    running = asyncio.create_task(child.run(attempt(tmp_path)))
    far.send(wire.encode(wire.Begun(1)) + garbage)
    with pytest.raises(ChildCrashedError, match="garbage"):
        await running
    assert not child.usable
    assert not alive(child._process.pid)
    far.close()
    assert set(open_descriptors()) <= set(before)


async def test_words_of_another_job_are_not_heard(tmp_path: Path) -> None:
    """A late report or result of the job before never counts for the one that runs."""
    child, far = await puppet()
    reports: Reports = []
    running = asyncio.create_task(child.run(attempt(tmp_path, reports.append)))
    said: list[wire.Message] = [
        wire.Report(0, {"percent": 99}),
        wire.Result(0, {"of": "another"}, []),
        wire.Failed(7, parts_of(PermanentError("another's"))),
        wire.Ready(1),
        wire.Begun(1),
        wire.Report(1, {"percent": 1}),
        wire.Result(1, {"of": "this"}, []),
    ]
    far.send(b"".join(wire.encode(message) for message in said))
    assert (await running).result == {"of": "this"}
    assert reports == [{"percent": 1}]
    assert child.usable
    await child.kill()
    far.close()


async def test_the_deadline_of_an_order_that_waits_in_the_child_has_not_begun(tmp_path: Path) -> None:
    """It is counted from the last word about the attempt before, which may take its time."""
    child, far = await puppet()
    nearly = asyncio.Event()
    first = Attempt(spec("debug"), 1, tmp_path, lambda _: None, nearly.set)
    second = Attempt(spec("debug", timeout_seconds=0.05), 1, tmp_path, lambda _: None)
    running = asyncio.create_task(child.run(first))
    far.send(wire.encode(wire.Begun(1)) + wire.encode(wire.Nearly(1)) + wire.encode(wire.Nearly(1)))
    await nearly.wait()
    waiting = asyncio.create_task(child.run(second))
    done, _ = await asyncio.wait([running, waiting], timeout=0.3)
    assert not done
    far.send(wire.encode(wire.Result(1, {"of": "the first"}, [])) + wire.encode(wire.Begun(2)))
    assert (await running).result == {"of": "the first"}
    with pytest.raises(TaskTimeoutError):
        await waiting
    assert not child.usable
    far.close()


async def test_killing_is_repeatable_and_gives_everything_back(tmp_path: Path) -> None:
    """Twice at once and once more: one end, no descriptor left."""
    before = open_descriptors()
    child = await ChildProcess.start(child_environment(settings_in(tmp_path), os.environ), suspect=True)
    await asyncio.gather(child.kill(), child.kill())
    await child.kill()
    assert not alive(child.pid)
    assert not alive(child._process.pid)
    assert set(open_descriptors()) <= set(before)


def test_ends_have_names() -> None:
    """What a person reads in a record."""
    assert exit_name_of(-9) == "SIGKILL"
    assert exit_name_of(-11) == "SIGSEGV"
    assert exit_name_of(3) == "status 3"
    assert exit_name_of(-63) == "signal 63"
