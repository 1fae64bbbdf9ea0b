"""The backend `metal`, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger

from job_watcher.backends.metal import Metal
from job_watcher.crashes import ChildCrashedError
from job_watcher.work_dirs import WorkDir
from lib.errors import PermanentError, TaskError, TaskTimeoutError, TemporaryError
from tests.support.running import alive, children, lease_of, open_descriptors, registry, settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskResult

Reports = list[dict[str, Any]]


@pytest.fixture
async def metal(tmp_path: Path) -> AsyncIterator[Metal]:
    """A backend of one slot; afterwards no process of it may be left."""
    before = set(children())
    backend = Metal(registry(), settings_in(tmp_path))
    yield backend
    await backend.aclose()
    await wait_until(lambda: set(children()) <= before, what="every child is gone and waited for")


async def run(metal: Metal, job: JobSpec, work_dir: Path, reports: Reports | None = None, **lease: Any) -> TaskResult:
    """One attempt in an empty directory."""
    kept: Reports = [] if reports is None else reports
    async with WorkDir(work_dir / "attempt", lambda: work_dir.mkdir(exist_ok=True)) as place:
        return await metal.run(job, lease_of(job, **lease), place, kept.append)


async def look(metal: Metal, work_dir: Path, **lease: Any) -> dict[str, Any]:
    """What a body in a child sees."""
    result = (await run(metal, spec("look_around"), work_dir, **lease)).result
    assert result is not None
    return result


async def test_an_inline_task_runs_in_the_watcher(metal: Metal, tmp_path: Path) -> None:
    """No process is started for a light body."""
    before = children()
    result = await run(metal, spec("debug", payload={"message": "hello"}), tmp_path)
    assert result.result == {"message": "hello", "attempt": 1}
    assert children() == before


async def test_a_child_is_warm_for_the_next_job(metal: Metal, tmp_path: Path) -> None:
    """Two jobs after each other run in the same process: a model is loaded once."""
    first, second = await look(metal, tmp_path), await look(metal, tmp_path)
    assert first["pid"] == second["pid"] != os.getpid()


async def test_an_error_of_the_body_keeps_the_child_warm(metal: Metal, tmp_path: Path) -> None:
    """A job that fails in good order costs nobody a model."""
    before = await look(metal, tmp_path)
    with pytest.raises(PermanentError):
        await run(metal, spec("fail_oddly", payload={"error": "ValueError"}), tmp_path)
    assert (await look(metal, tmp_path))["pid"] == before["pid"]


async def test_warm_starts_a_child_a_slot(tmp_path: Path) -> None:
    """After `warm` the first jobs wait for no process; a second call starts none."""
    # Servers of other tests may be children of this process too.
    others = set(children())
    metal = Metal(registry(), settings_in(tmp_path, METAL_CONCURRENCY="2"))
    try:
        await metal.warm()
        ready = set(children()) - others
        assert len(ready) == 2
        await metal.warm()
        seen = await asyncio.gather(look(metal, tmp_path / "a"), look(metal, tmp_path / "b"))
        assert {each["pid"] for each in seen} <= ready
        assert set(children()) - others == ready
    finally:
        await metal.aclose()


async def test_a_child_lives_apart_and_below(metal: Metal, tmp_path: Path) -> None:
    """Its own session and group, low priority, first at the out-of-memory killer; the parent keeps its own."""
    seen = await look(metal, tmp_path)
    assert seen["session"] == seen["group"] == seen["pid"] != os.getpgrp()
    assert seen["nice"] == os.nice(0) + 10
    assert seen["oom_score"] in {500, None}


async def test_a_child_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, tokens, passwords and addresses that hold one stay with the watcher; the rest of the environment goes."""
    secrets = {
        "GEMINI_API_KEY": "canary-1",
        "callback_secret": "canary-2",
        "HF_TOKEN": "canary-3",
        "PGPASSWORD": "canary-4",
        "REDIS_URL": "redis://127.0.0.1:1/7?canary-5",
        "DATABASE_URL": "postgres://user:canary-6@db/x",
    }
    for name, value in {**secrets, "HARMLESS": "kept"}.items():
        monkeypatch.setenv(name, value)
    metal = Metal(registry(), settings_in(tmp_path))
    try:
        seen = (await look(metal, tmp_path))["environment"]
    finally:
        await metal.aclose()
    assert "canary" not in str(seen)
    assert seen["HARMLESS"] == "kept"


@pytest.mark.parametrize("deaths", [0, 2])
async def test_a_killed_child_names_its_signal(metal: Metal, tmp_path: Path, deaths: int) -> None:
    """A body that dies is a crash of its job, with the signal, behind a minder too; the next job is unharmed."""
    with pytest.raises(ChildCrashedError, match="SIGKILL") as caught:
        await run(metal, spec("kill_self"), tmp_path, deaths=deaths)
    assert caught.value.exit_name == "SIGKILL"
    assert (await look(metal, tmp_path))["pid"]


async def test_an_exit_of_the_body_is_a_crash(metal: Metal, tmp_path: Path) -> None:
    """A body that ends its process, even with status 0, has given no answer."""
    with pytest.raises(ChildCrashedError) as caught:
        await run(metal, spec("exit", payload={"seconds": 3}), tmp_path)
    assert caught.value.exit_name == "status 3"
    with pytest.raises(ChildCrashedError, match="status 0"):
        await run(metal, spec("exit"), tmp_path)


async def test_a_suspect_that_kills_its_parent_does_not_kill_the_watcher(metal: Metal, tmp_path: Path) -> None:
    """The minder is what it hits: this process lives, the body's process is gone, the job is named."""
    log = tmp_path / "runs"
    with pytest.raises(ChildCrashedError) as caught:
        await run(metal, spec("kill_parent", payload={"run_log": str(log)}), tmp_path / "w", deaths=2)
    assert caught.value.exit_name == "SIGKILL"
    body = int(log.read_text())
    await wait_until(lambda: not alive(body), what="the body's process is gone")


async def test_a_suspect_runs_in_a_process_of_its_own(metal: Metal, tmp_path: Path) -> None:
    """Fresh, behind a minder, first of all at the out-of-memory killer, and gone with its job."""
    ordinary = await look(metal, tmp_path)
    apart = await look(metal, tmp_path, deaths=2)
    assert apart["pid"] != ordinary["pid"]
    assert apart["parent"] == apart["group"] != os.getpid()
    assert apart["oom_score"] in {1000, None}
    assert not alive(apart["pid"])
    assert not alive(apart["parent"])
    assert (await look(metal, tmp_path))["pid"] == ordinary["pid"]


async def test_an_inline_suspect_runs_apart_too(metal: Metal, tmp_path: Path) -> None:
    """Whatever killed two watchers never runs inside a third."""
    log = tmp_path / "runs"
    await run(metal, spec("count_runs", payload={"run_log": str(log)}), tmp_path / "w", deaths=2)
    assert int(log.read_text()) != os.getpid()


async def test_a_spinning_body_leaves_the_loop_its_turns(metal: Metal, tmp_path: Path) -> None:
    """While a body computes without a pause, a coroutine of the watcher (a renewal) gets turn after turn."""
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    reports: Reports = []
    job = asyncio.create_task(run(metal, spec("spin", payload={"seconds": 1.0}), tmp_path, reports))
    await wait_until(lambda: reports, what="the body spins")
    beating = asyncio.create_task(heart())
    await job
    beating.cancel()
    assert beats > 50


@pytest.mark.parametrize("deaths", [0, 2])
async def test_the_deadline_ends_the_body_and_its_family(metal: Metal, tmp_path: Path, deaths: int) -> None:
    """A grandchild that ignores SIGTERM is killed with the rest, and the error is a timeout."""
    note = tmp_path / "grandchild"
    job = spec("hang_with_family", payload={"message": str(note)}, timeout_seconds=1.5)
    with pytest.raises(TaskTimeoutError, match=r"deadline of 1\.5 s"):
        await run(metal, job, tmp_path / "w", deaths=deaths)
    assert note.exists()
    await wait_until(lambda: not alive(int(note.read_text())), what="the grandchild is gone")


@pytest.mark.parametrize("deaths", [0, 2])
async def test_a_cancel_ends_the_body_and_its_family(metal: Metal, tmp_path: Path, deaths: int) -> None:
    """Cancelling the run passes through after everything is gone, a second cancel in the middle included."""
    note = tmp_path / "grandchild"
    job = asyncio.create_task(
        run(metal, spec("hang_with_family", payload={"message": str(note)}), tmp_path / "w", deaths=deaths)
    )
    grandchild = int(await wait_until(lambda: note.exists() and note.read_text(), what="the grandchild runs"))
    job.cancel()
    await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await wait_until(lambda: not alive(grandchild), what="the grandchild is gone")


@pytest.mark.parametrize("deaths", [0, 2])
async def test_a_body_that_ignores_sigterm_is_ended_too(metal: Metal, tmp_path: Path, deaths: int) -> None:
    """The grace is a courtesy, not a condition."""
    log, reports = tmp_path / "runs", list[dict[str, Any]]()
    job = asyncio.create_task(
        run(metal, spec("hang_stubbornly", payload={"run_log": str(log)}), tmp_path / "w", reports, deaths=deaths)
    )
    await wait_until(lambda: reports, what="the body ignores SIGTERM")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not alive(int(log.read_text()))


@pytest.mark.usefixtures("adopting")
async def test_a_cancelled_suspect_is_collected_by_its_minder(metal: Metal, tmp_path: Path) -> None:
    """Its zombie is not left to whoever adopts orphans on this machine, who may be slow or absent."""
    before = set(children())
    log = tmp_path / "runs"
    job = asyncio.create_task(run(metal, spec("hang", payload={"run_log": str(log)}), tmp_path / "w", deaths=2))
    await wait_until(lambda: log.exists() and log.read_text(), what="the body runs")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert set(children()) == before


async def test_a_cancel_while_the_child_starts_leaves_nothing(metal: Metal, tmp_path: Path) -> None:
    """Cancelled at any moment of the start, no process and no descriptor is left."""
    await look(metal, tmp_path)
    before = open_descriptors()
    for turns in (0, 1, 5, 20, 100, 500, 2000):
        job = asyncio.create_task(run(metal, spec("look_around"), tmp_path, deaths=2))
        for _ in range(turns):
            await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
    await wait_until(lambda: len(open_descriptors()) <= len(before), what="descriptors are closed")


async def test_an_inline_body_is_stopped_at_its_deadline(metal: Metal, tmp_path: Path) -> None:
    """The limit of one attempt holds inside the loop too."""
    with pytest.raises(TaskTimeoutError, match="deadline"):
        await run(metal, spec("hang_inline", timeout_seconds=0.05), tmp_path)


async def test_a_timeout_of_the_bodys_own_is_no_deadline(metal: Metal, tmp_path: Path) -> None:
    """A TimeoutError that the body raised is a temporary error, not the end of the attempt's time."""
    for task in ("fail_oddly", "fail_oddly_inline"):
        with pytest.raises(TemporaryError) as caught:
            await run(metal, spec(task, payload={"error": "TimeoutError"}), tmp_path)
        assert not isinstance(caught.value, TaskTimeoutError)


@pytest.mark.parametrize("task", ["fail_oddly", "fail_oddly_inline"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ValueError", PermanentError),
        ("SystemExit", PermanentError),
        ("CancelledError", PermanentError),
        ("OSError", TemporaryError),
        ("ConnectionError", TemporaryError),
        ("MemoryError", TemporaryError),
    ],
)
async def test_an_unexpected_error_has_a_meaning(
    metal: Metal, tmp_path: Path, task: str, error: str, kind: type[TaskError]
) -> None:
    """Whatever a body raises is about its job: never the end of the watcher, and the same inline and in a child."""
    with pytest.raises(kind):
        await run(metal, spec(task, payload={"error": error, "message": "odd"}), tmp_path)


async def test_an_error_keeps_its_parts(metal: Metal, tmp_path: Path) -> None:
    """Message, hint and the delay that the far side asked for come through the wire."""
    job = spec("fail_temporary", payload={"message": "busy é\n", "delay_seconds": 17.5})
    with pytest.raises(TemporaryError) as caught:
        await run(metal, job, tmp_path, deaths=2)
    assert (caught.value.message, caught.value.hint, caught.value.delay_seconds) == ("busy é\n", "later", 17.5)


async def test_noise_does_not_break_frames(metal: Metal, tmp_path: Path) -> None:
    """What a body prints, at any level and looking like a frame, goes to the log under its job."""
    said: list[tuple[str, str]] = []
    sink = logger.add(lambda line: said.append((line.record["extra"].get("request_id", ""), line.record["message"])))
    try:
        job = spec("chatter", request_id="noisy", payload={"message": "engine says hello", "times": 300})
        first = await run(metal, job, tmp_path)
        quiet = await look(metal, tmp_path)
    finally:
        logger.remove(sink)
    assert first.result == {"pid": quiet["pid"]}
    assert said.count(("noisy", "child: engine says hello")) == 600
    assert all(request_id == "noisy" for request_id, text in said if "hello" in text or "not text" in text)


async def test_endless_noise_is_cut(metal: Metal, tmp_path: Path) -> None:
    """A body that prints for ever fills neither the log nor memory, and still ends well."""
    said: list[str] = []
    sink = logger.add(lambda line: said.append(line.record["message"]))
    try:
        job = spec("chatter", payload={"message": "x" * 100, "times": 20_000})
        assert (await run(metal, job, tmp_path)).result
    finally:
        logger.remove(sink)
    assert len(said) < 1100
    assert any("not logged" in line for line in said)


async def test_a_huge_result_is_refused_clearly(metal: Metal, tmp_path: Path) -> None:
    """It says how large, how much is allowed, and where bulk belongs."""
    with pytest.raises(PermanentError, match=r"bytes of JSON; at most 262144") as caught:
        await run(metal, spec("large_result", payload={"megabytes": 30}), tmp_path)
    assert "Output" in (caught.value.hint or "")


async def test_a_body_that_closes_the_wire_is_ended(metal: Metal, tmp_path: Path) -> None:
    """A child that can give no answer any more is not waited for."""
    log = tmp_path / "runs"
    with pytest.raises(ChildCrashedError):
        await run(metal, spec("close_wire", payload={"run_log": str(log)}), tmp_path / "w")
    assert not alive(int(log.read_text()))


async def test_a_child_that_died_idle_is_replaced(metal: Metal, tmp_path: Path) -> None:
    """Its death is nobody's crash: the next job runs once, in another."""
    log = tmp_path / "runs"
    idle = (await look(metal, tmp_path))["pid"]
    os.kill(idle, signal.SIGKILL)
    await run(metal, spec("count_runs_child", payload={"run_log": str(log)}), tmp_path)
    assert [int(line) for line in log.read_text().split()] != [idle]
    assert len(log.read_text().split()) == 1


async def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A broken task module fails the attempt for now, with the child's last words; it is nobody's crash."""
    metal = Metal(registry(), settings_in(tmp_path, JOBS_TASK_MODULES="tests.support.no_such_module"))
    before = open_descriptors()
    with pytest.raises(TemporaryError, match="no_such_module"):
        await run(metal, spec("look_around"), tmp_path)
    await wait_until(lambda: len(open_descriptors()) <= len(before), what="descriptors are closed")


async def test_an_unknown_task_is_permanent(metal: Metal, tmp_path: Path) -> None:
    """A job for a task that this watcher does not have names the task."""
    with pytest.raises(PermanentError, match="no_such_task"):
        await run(metal, spec("no_such_task"), tmp_path)


async def test_progress_comes_through_and_ends_with_the_last(metal: Metal, tmp_path: Path) -> None:
    """Of a flood of reports few pass, in order, and the last one does."""
    reports: Reports = []
    await run(metal, spec("report", payload={"times": 50_000, "message": "at it"}), tmp_path, reports)
    steps = [report["step"] for report in reports]
    assert steps == sorted(steps)
    assert reports[-1] == {"percent": 100.0, "step": 50_000, "total": 50_000, "message": "at it"}
    assert len(reports) < 5_000


async def test_twenty_jobs_leave_nothing_behind(metal: Metal, tmp_path: Path) -> None:
    """Results, errors, crashes, deadlines and suspects in a row: no zombie, no descriptor, no directory entry."""
    await look(metal, tmp_path)
    before, family = open_descriptors(), set(children())
    kinds: tuple[tuple[Callable[[], Awaitable[object]], type[BaseException] | None], ...] = (
        *((lambda: look(metal, tmp_path), None) for _ in range(6)),
        (lambda: run(metal, spec("fail_oddly", payload={"error": "ValueError"}), tmp_path), PermanentError),
        (lambda: run(metal, spec("kill_self"), tmp_path), ChildCrashedError),
        (lambda: run(metal, spec("hang", timeout_seconds=0.3), tmp_path), TaskTimeoutError),
        (lambda: run(metal, spec("count_runs"), tmp_path, deaths=2), None),
    )
    for turn in range(20):
        job, error = kinds[turn % len(kinds)]
        if error is None:
            await job()
        else:
            with pytest.raises(error):
                await job()
    await look(metal, tmp_path)
    await wait_until(lambda: len(open_descriptors()) <= len(before), what="no descriptor is left")
    assert len(children()) == len(family)
