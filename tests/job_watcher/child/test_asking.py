"""A body in a real child asks its watcher: it is answered, refused by type, and left alone when its time is over."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.child.environment import child_environment
from job_watcher.child.process import Attempt, ChildProcess
from job_watcher.child.questions import MAX_DATA_BYTES, Reply
from job_watcher.crashes import ChildCrashedError
from lib.errors import BudgetError, PermanentError, QuotaError, TaskTimeoutError
from tests.job_watcher.child.desk import Desk, words
from tests.support.running import alive, open_descriptors, settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.child.questions import Question
    from lib.tasks.base import TaskResult


@asynccontextmanager
async def child_in(home: Path) -> AsyncIterator[ChildProcess]:
    """A child that knows the asking tasks; ended, with nothing left, afterwards."""
    before = set(open_descriptors())
    settings = settings_in(home, JOBS_TASK_MODULES="tests.support.asking_tasks", GEMINI_API_KEY="a-secret-key-of-ours")
    made = await ChildProcess.start(child_environment(settings, os.environ))
    try:
        yield made
    finally:
        await made.kill()
        assert set(open_descriptors()) <= before


def attempt(
    home: Path, desk: Desk | None, task: str = "ask", *, timeout_seconds: float = 60.0, **payload: Any
) -> Attempt:
    """One of this task."""
    job = spec(task, payload=payload, timeout_seconds=timeout_seconds)
    return Attempt(job, 1, home, lambda _: None, answers=desk)


def said(result: TaskResult) -> list[str]:
    """What the body was answered."""
    assert result.result is not None
    answers: list[str] = result.result["said"]
    return answers


def about(text: str) -> Any:
    """Hang on the prompts with this text in them."""
    return lambda question: text in question.payload["prompt"]


async def test_many_questions_at_once_are_answered_each(tmp_path: Path) -> None:
    """From one loop and from threads, in a child that stays warm."""
    prompts = [f"question {number}" for number in range(12)]
    desk = Desk()
    async with child_in(tmp_path) as child:
        for task in ("ask", "ask_in_threads"):
            result = await child.run(attempt(tmp_path, desk, task, prompts=prompts))
            assert said(result) == [f"You said {prompt}" for prompt in prompts]
        assert child.usable
    assert sorted(question.payload["prompt"] for question in desk.asked) == sorted(2 * prompts)
    assert {question.kind for question in desk.asked} == {"text"}


async def test_a_body_that_nobody_answers_has_no_model(tmp_path: Path) -> None:
    """As an inline one."""
    async with child_in(tmp_path) as child:
        with pytest.raises(PermanentError, match="asked for a text model"):
            await child.run(attempt(tmp_path, None))


async def test_an_error_goes_through_body_and_wire_by_its_type(tmp_path: Path) -> None:
    """A quota that a paid call met costs no attempt, though it was met in another process."""

    def refuse(question: Question) -> Reply:
        if "money" in question.payload["prompt"]:
            raise BudgetError("no more today", hint="raise it", delay_seconds=900)
        if "quota" in question.payload["prompt"]:
            raise QuotaError("used up", window="day", delay_seconds=17.5)
        if "crash" in question.payload["prompt"]:
            raise ZeroDivisionError("a mistake of ours")
        return words(question)

    desk = Desk(refuse)
    async with child_in(tmp_path) as child:
        with pytest.raises(QuotaError) as quota:
            await child.run(attempt(tmp_path, desk, prompts=["quota"]))
        assert (quota.value.message, quota.value.delay_seconds, quota.value.window) == ("used up", 17.5, "day")
        with pytest.raises(BudgetError) as budget:
            await child.run(attempt(tmp_path, desk, prompts=["money"]))
        assert (budget.value.hint, budget.value.delay_seconds) == ("raise it", 900)
        result = await child.run(attempt(tmp_path, desk, "ask_and_catch", prompts=["quota", "fine", "crash"]))
        assert result.result == {
            "caught": [["QuotaError", "used up"], ["PermanentError", "ZeroDivisionError: a mistake of ours"]]
        }
        assert child.usable


async def test_what_is_too_large_is_refused_on_either_way(tmp_path: Path) -> None:
    """The child stays, and the job learns why."""

    def long(question: Question) -> Reply:
        if question.payload["prompt"] == "json":
            return Reply({"text": "x" * 2_000_000})
        return Reply(words(question).payload, bytes(MAX_DATA_BYTES + 1))

    desk = Desk(long)
    async with child_in(tmp_path) as child:
        for prompt in ("json", "bytes"):
            with pytest.raises(PermanentError, match="too large"):
                await child.run(attempt(tmp_path, desk, prompts=[prompt]))
        assert child.usable


async def test_the_next_order_waits_while_the_body_asks(tmp_path: Path) -> None:
    """It came after `nearly over` and before the question; each has its own answer."""
    desk, nearly, gate = Desk(hang=about("first")), asyncio.Event(), tmp_path / "gate"
    first = attempt(tmp_path, desk, "nearly_then_ask", prompts=["first"], gate=str(gate))
    async with child_in(tmp_path) as child:
        running = asyncio.create_task(child.run(replace(first, on_room=nearly.set)))
        await nearly.wait()
        waiting = asyncio.create_task(child.run(attempt(tmp_path, desk, prompts=["second"])))
        await wait_until(lambda: child._serial == 2, what="the next order is out")
        gate.touch()
        await wait_until(lambda: desk.under_way == 1, what="the first asks")
        assert not waiting.done()
        desk.let()
        assert said(await running) == ["You said first"]
        assert said(await waiting) == ["You said second"]


@pytest.mark.parametrize("how", ["deadline", "cancel"])
async def test_an_end_while_asking_ends_child_and_call(tmp_path: Path, how: str) -> None:
    """Nothing of a paid call is left when `run` has ended."""
    desk = Desk(hang=lambda _: True)
    async with child_in(tmp_path) as child:
        seconds = 0.4 if how == "deadline" else 60.0
        running = asyncio.create_task(child.run(attempt(tmp_path, desk, timeout_seconds=seconds, prompts=["a", "b"])))
        await wait_until(lambda: desk.under_way == 2, what="both calls are under way")
        if how == "cancel":
            running.cancel()
        with pytest.raises(TaskTimeoutError if how == "deadline" else asyncio.CancelledError):
            await running
        assert (desk.under_way, desk.cancelled) == (0, 2)
        assert not alive(child.pid)


async def test_a_crash_while_asking_ends_the_call(tmp_path: Path) -> None:
    """The job is blamed for its crash as ever."""
    desk = Desk(hang=lambda _: True)
    async with child_in(tmp_path) as child:
        running = asyncio.create_task(child.run(attempt(tmp_path, desk)))
        await wait_until(lambda: desk.under_way == 1, what="the call is under way")
        os.kill(child.pid, 9)
        with pytest.raises(ChildCrashedError, match="SIGKILL"):
            await running
        assert (desk.under_way, desk.cancelled) == (0, 1)


async def test_what_a_body_leaves_unanswered_is_cancelled_and_mixed_with_nothing(tmp_path: Path) -> None:
    """A thread that outlives its body; the child goes on, and the next body has its own answer."""
    desk, gate = Desk(hang=about("forgotten")), tmp_path / "gate"
    async with child_in(tmp_path) as child:
        running = asyncio.create_task(
            child.run(attempt(tmp_path, desk, "ask_and_leave", prompts=["forgotten"], gate=str(gate)))
        )
        await wait_until(lambda: desk.under_way == 1, what="the call is under way")
        gate.touch()
        assert said(await running) == []
        assert (desk.under_way, desk.cancelled) == (0, 1)
        assert said(await child.run(attempt(tmp_path, desk, prompts=["mine"]))) == ["You said mine"]


async def test_the_child_never_sees_the_key(tmp_path: Path) -> None:
    """Neither in its environment nor in its arguments."""
    async with child_in(tmp_path) as child:
        await child.run(attempt(tmp_path, Desk()))
        for name in ("environ", "cmdline"):
            assert b"a-secret-key-of-ours" not in Path(f"/proc/{child.pid}/{name}").read_bytes()
