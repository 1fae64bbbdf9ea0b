"""Plans that try out the machine: echoes, naps, rounds through the database, and a mixture as a backlog has it.

A seed decides lengths and mixtures, so that the same plan can be made again. Pure; `workflow system-test plan` writes
what comes out.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal

from job_runner.workflows.entries import FOLDER, Entry, plan_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Mode = Literal["debug", "sleep", "crud", "crud_latency", "crud_stress", "backlog"]

DEFAULT_COUNTS: Final[dict[Mode, int]] = {
    "debug": 10,
    "sleep": 10,
    "crud": 10,
    "crud_latency": 10,
    # Enough that several children write at once for as long as one can watch.
    "crud_stress": 200,
    "backlog": 50,
}

# Long enough to be seen at work, short enough that fifty of them are over in a minute or two.
_NAP_SECONDS: Final = (0.5, 3.0)
# What a query takes over a slow line, and how long a connection is wanted but not used.
_LATENCY_SECONDS: Final = (0.5, 2.0)
_STRESS_SECONDS: Final = (0.0, 0.2)
_PRIORITIES: Final = ("high", "normal", "normal", "low")


@dataclass(frozen=True, slots=True)
class SystemTestPlan:
    """`count` entries of one mode."""

    mode: Mode
    count: int
    seed: int = 1

    @property
    def plan(self) -> str:
        """Its name."""
        return plan_id(self.mode.replace("_", "-"), asdict(self))

    @property
    def out(self) -> Path:
        """Where it goes unless somebody says otherwise."""
        return FOLDER / f"{self.mode}_test.jsonl"

    def entries(self) -> Iterator[Entry]:
        """In order, each by the next draw."""
        # A plan is to be the same again, not hard to guess.
        draw = random.Random(f"{self.mode}:{self.seed}")  # noqa: S311
        make = _MAKERS[self.mode]
        for number in range(1, self.count + 1):
            yield make(number, draw)


def _debug(number: int, draw: random.Random) -> Entry:
    return Entry("tasks.debug_task", f"debug-{number:04d}", args=(f"echo {number} {draw.getrandbits(32):08x}",))


def _sleep(number: int, draw: random.Random) -> Entry:
    return Entry("tasks.sleep_task", f"sleep-{number:04d}", args=(_seconds(draw, _NAP_SECONDS),))


def _crud(number: int, draw: random.Random) -> Entry:
    return Entry("tasks.fast_crud_task", f"crud-{number:04d}", args=(_data(number, draw),))


def _crud_latency(number: int, draw: random.Random) -> Entry:
    return _slow_crud(f"crud-latency-{number:04d}", number, draw, _LATENCY_SECONDS)


def _crud_stress(number: int, draw: random.Random) -> Entry:
    """Every other one at once, the others after a moment: what comes late meets what is under way."""
    if number % 2:
        return Entry("tasks.fast_crud_task", f"crud-stress-{number:04d}", args=(_data(number, draw),))
    return _slow_crud(f"crud-stress-{number:04d}", number, draw, _STRESS_SECONDS)


def _backlog(number: int, draw: random.Random) -> Entry:
    """One of the others, at some priority."""
    made = draw.choice((_debug, _sleep, _crud, _crud_latency))(number, draw)
    return Entry(made.task, made.entry_id, made.args, priority=draw.choice(_PRIORITIES))


def _slow_crud(entry_id: str, number: int, draw: random.Random, bounds: tuple[float, float]) -> Entry:
    return Entry("tasks.sleep_crud_task", entry_id, args=(_seconds(draw, bounds), _data(number, draw)))


def _data(number: int, draw: random.Random) -> dict[str, object]:
    return {"number": number, "title": f"record {number}", "token": f"{draw.getrandbits(64):016x}"}


def _seconds(draw: random.Random, bounds: tuple[float, float]) -> float:
    return round(draw.uniform(*bounds), 2)


_MAKERS: Final[dict[Mode, Callable[[int, random.Random], Entry]]] = {
    "debug": _debug,
    "sleep": _sleep,
    "crud": _crud,
    "crud_latency": _crud_latency,
    "crud_stress": _crud_stress,
    "backlog": _backlog,
}
