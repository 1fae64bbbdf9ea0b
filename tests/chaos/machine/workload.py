"""From a seed to what the producers ask for and when: pure, as the schedule of faults is.

A job is written here as plain words; `producer.py` makes it a row of the queue. Each says what its body will do, so
that the checker knows who is guilty of what.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Do = Literal["ok", "slow", "flaky", "fatal", "child", "output", "poison"]
Job = dict[str, Any]
"""`id`, `do`, `echo`, and where they differ from the usual: `seconds`, `fails`, `priority`, `backlog`, `delay`,
`key`, `on_conflict`, `task`."""

_SHARES: Final[dict[Do, float]] = {"ok": 78, "slow": 14, "flaky": 4, "fatal": 2, "child": 1, "output": 1}
_JOBS_PER_POISON: Final = 4000
_BATCHES: Final = (1, 1, 1, 5, 20, 60, 150)
SUBMIT_SHARE: Final = 0.94
"""The last job is sent at this share of the run, as the last fault comes: what is idle breaks without a sound."""
KEYS: Final = 8
CANCEL_SECONDS: Final = 1.2
"""After so long a job that is to be cancelled while it runs has begun, if the queue is not full of others."""
_CANCELLED_EVERY: Final = 4.0
_UNEVEN_SECONDS: Final = 6.5


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a producer: `do` is submit, replace, cancel, retry, foreign or junk."""

    at: float
    do: str
    jobs: tuple[Job, ...] = ()
    ids: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the producer's file."""
        return {"at": self.at, "do": self.do, "jobs": list(self.jobs), "ids": list(self.ids)}


@dataclass(slots=True)
class _Author:
    """Writes the steps of one producer."""

    chance: random.Random
    name: str
    steps: list[Step] = field(default_factory=list)
    written: int = 0

    def job(self, do: Do | None = None) -> Job:
        """The next job."""
        chance = self.chance
        self.written += 1
        kind = do or chance.choices(list(_SHARES), list(_SHARES.values()))[0]
        job: Job = {"id": f"{self.name}-{self.written:05}", "do": kind, "echo": _echo(chance)}
        if kind in {"slow", "child", "output"}:
            job["seconds"] = round(chance.uniform(0.05, 2.0 if kind == "slow" else 0.3), 3)
        if kind == "flaky":
            job["fails"] = chance.randint(1, 2)
        if kind == "child":
            job["task"] = "traced_child"
        if chance.random() < 0.3:
            job["priority"] = chance.choice(("high", "low", "low"))
        if chance.random() < 0.2:
            job["backlog"] = chance.choice(("second", "third"))
        if chance.random() < 0.03:
            job["delay"] = round(chance.uniform(0.5, 6.0), 3)
        if kind != "poison" and chance.random() < 0.04:
            job["key"] = f"key-{chance.randrange(KEYS)}"
            job["on_conflict"] = chance.choice(("queue", "queue", "refuse"))
        return job

    def after(self, at: float, jobs: tuple[Job, ...]) -> None:
        """What comes back to a batch later: the same again, other content, a cancel, a retry, a replacement."""
        chance = self.chance
        one = chance.choice(jobs)
        later = round(at + chance.uniform(0.05, 5.0), 3)
        match chance.choices(
            ("none", "again", "conflict", "cancel", "cancel_key", "retry", "replace"), (50, 14, 6, 8, 6, 10, 6)
        )[0]:
            case "again":
                self.steps.append(Step(later, "submit", jobs))
            case "conflict":
                self.steps.append(Step(later, "submit", (_other(one, chance),)))
            case "cancel":
                self.steps.append(Step(round(at + chance.uniform(0, 0.5), 3), "cancel", ids=(one["id"],)))
            case "cancel_key":
                self.steps += self.crowd(at)
            case "retry":
                wished = [job["id"] for job in jobs if job["do"] == "fatal"] or [one["id"]]
                self.steps.append(Step(later, "retry", ids=tuple(wished)))
            case "replace":
                self.steps.append(Step(later, "replace", (_other(one, chance),)))

    def crowd(self, at: float) -> list[Step]:
        """Three jobs of one key at once, of which the last is cancelled while it waits."""
        key = f"key-{self.chance.randrange(KEYS)}"
        crowd = tuple({**self.job("slow"), "key": key, "on_conflict": "queue", "seconds": 0.6} for _ in range(3))
        for job in crowd:
            job.pop("delay", None)
        return [Step(at, "submit", crowd), Step(round(at + 0.1, 3), "cancel", ids=(crowd[-1]["id"],))]


def _echo(chance: random.Random) -> str:
    size = chance.choices((12, 200, 4000), (80, 18, 2))[0]
    return f"{chance.getrandbits(48):012x}".ljust(size, ".")


def _other(job: Job, chance: random.Random) -> Job:
    return {**job, "echo": _echo(chance)}


def write(seed: int, *, seconds: float, jobs: int, producers: int, poison: bool = True) -> list[list[Step]]:
    """The steps of each producer, sorted by time; about `jobs` jobs in all."""
    return [
        _steps(random.Random(f"work {seed} {i}"), f"p{i}", seconds, jobs // producers, i == 1 and poison)  # noqa: S311
        for i in range(1, producers + 1)
    ]


def _steps(chance: random.Random, name: str, seconds: float, jobs: int, poison: bool) -> list[Step]:  # noqa: FBT001
    author = _Author(chance, name)
    if poison:
        # First, since a guilty job takes its time: two deaths, then three crashes with pauses between.
        guilty = [author.job("poison") for _ in range(max(1, jobs // _JOBS_PER_POISON))]
        for i, job in enumerate(guilty):
            job.pop("delay", None)
            author.steps.append(Step(round(1.0 + seconds * 0.5 * i / len(guilty), 3), "submit", (job,)))
    while author.written < jobs:
        # Time follows the number of jobs, so that the load is even however the batches fall.
        at = round(0.2 + seconds * SUBMIT_SHARE * author.written / jobs, 3)
        batch = tuple(author.job() for _ in range(min(chance.choice(_BATCHES), jobs // 10)))
        if chance.random() < 0.03:
            author.steps.append(Step(at, "foreign", tuple(_plain(job) for job in batch[:5])))
            batch = batch[5:]
        if chance.random() < 0.02:
            author.steps.append(Step(at, "junk"))
        if batch:
            author.steps.append(Step(at, "submit", batch))
            author.after(at, batch)
    return sorted([*author.steps, *_long_and_cancelled(name, seconds)], key=lambda step: step.at)


def _long_and_cancelled(name: str, seconds: float) -> Iterator[Step]:
    """Jobs that would take long, each cancelled while it runs: a body that is not told is seen to go on."""
    for i in range(int((seconds * SUBMIT_SHARE - CANCEL_SECONDS) / _CANCELLED_EVERY)):
        at = round(0.3 + i * _CANCELLED_EVERY, 3)
        job: Job = {"id": f"{name}-long-{i:03}", "do": "slow", "echo": name, "seconds": 5.0, "priority": "high"}
        yield Step(at, "submit", (job,))
        yield Step(round(at + CANCEL_SECONDS, 3), "cancel", ids=(job["id"],))


def _plain(job: Job) -> Job:
    """As another program would add it by hand: into the inlet, with nothing but the job."""
    return {name: value for name, value in job.items() if name in {"id", "do", "echo", "seconds", "fails", "task"}}


def steady(seed: int, *, seconds: float, producers: int) -> list[list[Step]]:
    """Slightly more work than three watchers can do, with conflicts of keys and repeats: for a directed schedule."""
    return [_steady(random.Random(f"steady {seed} {i}"), f"p{i}", seconds) for i in range(1, producers + 1)]  # noqa: S311


def _steady(chance: random.Random, name: str, seconds: float) -> list[Step]:
    author = _Author(chance, name)
    # More than the lanes hold, from the first moment on.
    first = ({"id": f"{name}-first-{i:02}", "do": "slow", "echo": _echo(chance), "seconds": 0.8} for i in range(60))
    author.steps.append(Step(0.1, "submit", tuple(first)))
    for beat in range(int(seconds * SUBMIT_SHARE * 2)):
        at = 0.2 + beat * 0.5
        batch = tuple({**author.job("slow"), "seconds": round(chance.uniform(0.3, 2.5), 3)} for _ in range(5))
        for job in batch:
            for name_of in ("delay", "key", "on_conflict"):
                job.pop(name_of, None)
        author.steps.append(Step(at, "submit", batch))
        if beat % 3 == 0:
            author.steps.append(Step(at + 0.3, "submit", batch))
        if beat % 4 == 1:
            author.steps += author.crowd(at)
    return sorted(author.steps, key=lambda step: step.at)


def varied(seed: int, *, seconds: float, producers: int) -> list[list[Step]]:
    """A little of what `steady` has not, every other second: delays, flaky jobs, outputs, and cancels of what runs."""
    return [_varied(random.Random(f"varied {seed} {i}"), f"p{i}", seconds) for i in range(1, producers + 1)]  # noqa: S311


def _varied(chance: random.Random, name: str, seconds: float) -> list[Step]:
    author = _Author(chance, name)
    for beat in range(int(seconds * SUBMIT_SHARE / 2)):
        kinds: tuple[Do, ...] = ("ok", "flaky", "output")
        jobs = [author.job(kind) for kind in kinds for _ in range(2)]
        for job in jobs:
            for name_of in ("delay", "key", "on_conflict"):
                job.pop(name_of, None)
        jobs += [{**author.job("ok"), "delay": 2.5} for _ in range(2)]
        author.steps.append(Step(round(0.2 + beat * 2, 3), "submit", tuple(jobs)))
    return sorted([*author.steps, *_long_and_cancelled(name, seconds)], key=lambda step: step.at)


def uneven(seed: int, *, seconds: float, producers: int) -> list[list[Step]]:
    """Short jobs and behind them long ones, so that what was leased ahead for the next moment waits in vain."""
    return [_uneven(random.Random(f"uneven {seed} {i}"), f"p{i}", seconds) for i in range(1, producers + 1)]  # noqa: S311


def _uneven(chance: random.Random, name: str, seconds: float) -> list[Step]:
    """All longs stand behind all shorts, and end soon after a job has waited its second for one of their slots."""
    steps = []
    for beat in range(max(1, int(seconds / _UNEVEN_SECONDS))):
        at = 0.1 + beat * _UNEVEN_SECONDS
        for kind, count, takes, later in (("short", 30, (0.2, 0.2), 0.0), ("long", 30, (1.0, 1.6), 0.3)):
            ids = [f"{name}-{kind}-{beat}-{i:02}" for i in range(count)]
            words = {"do": "slow", "echo": _echo(chance)}
            jobs = tuple({"id": job, "seconds": round(chance.uniform(*takes), 3), **words} for job in ids)
            steps.append(Step(round(at + later, 3), "submit", jobs))
    return steps
