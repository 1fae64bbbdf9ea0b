"""A machine that is lost counts against no job, until one job has lost so many that it is no chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from job_watcher.backends.vast.backend import Vast
from job_watcher.backends.vast.losses import CHANCE_MOST, Losses
from job_watcher.crashes import ChildCrashedError
from job_watcher.hosts.batch_host import HostUnfitError
from job_watcher.hosts.errors import HostError, HostLostError
from job_watcher.work_dirs import WorkDir
from lib.tasks.base import TaskResult
from tests.job_watcher.hosts.batching import job, lease_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.jobqueue.protocol import Lease


ROOT = Path(__file__).parents[4]


@dataclass
class Machine:
    """One that begins a job, or does not, and ends in an error or well."""

    error: HostError | None = field(default_factory=lambda: HostLostError("the connection broke"))
    begins: bool = True

    async def speak(self, *given: Any) -> TaskResult:
        """As a host's hands do it; what is called when the body begins comes last."""
        begun: Callable[[], Awaitable[None]] = given[-1]
        if self.begins:
            await begun()
        if self.error is not None:
            raise self.error
        return TaskResult({})


@dataclass
class Machines:
    """A fleet whose next machine the test says."""

    next: Machine = field(default_factory=Machine)

    def choose(self) -> Machine:
        """That one."""
        return self.next


class Stage:
    """A backend, and jobs that are given to it."""

    def __init__(self, path: Path) -> None:
        self.machines = Machines()
        self._backend = Vast(cast("Any", self.machines), cast("Any", None), 8)
        self._path = path

    async def run(self, name: str = "job") -> TaskResult:
        """One attempt."""
        given = job(request_id=name)
        work_dir = WorkDir(self._path / "work", lambda: None)
        return await self._backend.run(given, lease_of(given), work_dir, lambda _: None)

    async def lose(self, times: int, name: str = "job") -> None:
        """So many machines under it, each by chance."""
        for _ in range(times):
            with pytest.raises(HostLostError):
                await self.run(name)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Nothing was lost yet."""
    return Stage(tmp_path)


async def test_what_takes_down_machine_after_machine_has_crashed_them(stage: Stage) -> None:
    """After some that may be chance each is a crash, of which a job has only so many; another job's are its own."""
    await stage.lose(CHANCE_MOST)
    with pytest.raises(ChildCrashedError, match=f"{CHANCE_MOST + 1} machines were lost") as caught:
        await stage.run()
    assert caught.value.exit_name == "a lost machine"
    await stage.lose(1, "another")


@pytest.mark.parametrize(
    "machine", [Machine(begins=False), Machine(HostUnfitError("given back"))], ids=["not begun", "given back"]
)
async def test_what_it_had_no_part_in_does_not_count(stage: Stage, machine: Machine) -> None:
    """A job that only waited there, and a machine that was given back or is not believed."""
    await stage.lose(CHANCE_MOST)
    before, stage.machines.next = stage.machines.next, machine
    with pytest.raises(HostError):
        await stage.run()
    stage.machines.next = before
    with pytest.raises(ChildCrashedError):
        await stage.run()


async def test_what_got_through_begins_anew(stage: Stage) -> None:
    """Whatever it had lost before."""
    await stage.lose(CHANCE_MOST)
    stage.machines.next = Machine(None)
    assert await stage.run() == TaskResult({})
    stage.machines.next = Machine()
    await stage.lose(CHANCE_MOST)


def test_the_page_says_how_many() -> None:
    """The one about rented machines."""
    page = (ROOT / "docs/explanation/rented-machines.md").read_text(encoding="utf-8")
    assert (CHANCE_MOST, "Only when six have been lost" in page) == (5, True)


def test_only_so_many_jobs_are_remembered() -> None:
    """Those that lost a machine last."""
    losses = Losses()

    def lease(number: int) -> Lease:
        return lease_of(job(request_id=f"job-{number}"))

    for number in range(1001):
        assert losses.note(lease(number)) == 1
    assert (losses.note(lease(0)), losses.note(lease(1000))) == (1, 2)
