"""What a run left on disk, read back as plain values: the queue's steps, the traces, the producers' calls, the ground.

Nothing is judged here. A hand-written history of a few lines is the same values, so the checker is tested without any
process. All times are monotonic seconds of one machine, but for the server's own, which are called so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.machine.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One step of the queue: its operations (see `aof.Vocabulary`) and when it was seen."""

    at: float
    ops: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class BodyRun:
    """One run of a body as the trace has it; `ended` is None when no end was written, `how` then empty."""

    id: str
    fence: str
    session_dir: str
    pid: int
    nonce: str
    begun: float
    ended: float | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a producer: `answered` and `codes` are None when nothing came back."""

    do: str
    sent: float
    ids: tuple[str, ...]
    rows: tuple[tuple[str, str, int, str], ...] = ()
    """(id, identity, due in Unix milliseconds or 0, echo) of what was submitted."""
    answered: float | None = None
    codes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """How the body of a job was to end (see `workload.Do`), after how many attempts that fail."""

    do: str
    fails: int = 0


@dataclass(slots=True)
class History:
    """All of it. `final` is the last look, empty when the run did not get so far."""

    life: float
    sweep: float
    slots: int = 8
    slack: float = 2.0
    """Seconds by which L + S may be exceeded where everything runs at once on two cores."""
    lines: list[Line] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Where the append-only file became shorter than what had been read."""
    runs: list[BodyRun] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ground: list[dict[str, Any]] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)
    """Who led and who moved jobs, as the wiretap heard it."""
    asked: dict[str, Asked] = field(default_factory=dict)
    """By id; a replacement asks for the same with other content."""
    guilty: frozenset[str] = frozenset()
    """Jobs that are meant to kill what runs them."""
    final: dict[str, Any] = field(default_factory=dict)

    @property
    def cut_short(self) -> bool:
        """Whether nobody waited for the drain: what is left says nothing."""
        return any(note["is"] == "cut short" for note in self.ground)

    @property
    def drained(self) -> bool:
        """Whether the run ended with nothing left to do."""
        return any(note["is"] == "drained" for note in self.ground)


def read(home: Path) -> History:
    """The history in a run's directory.

    Raises:
        OSError: there is none.

    """
    about = json.loads((home / "run.json").read_text())
    history = History(about["life"], about["sweep"], about["options"]["slots"])
    for each in _lines(home / "queue.jsonl"):
        if "broken" in each:
            history.broken.append(each["broken"])
        else:
            history.lines.append(Line(each["at"], tuple(map(tuple, each["ops"]))))
    for path in sorted((home / "trace").glob("*.jsonl")):
        history.runs += body_runs(_lines(path))
    history.runs.sort(key=lambda run: run.begun)
    for path in sorted(home.glob("producer-*.jsonl")):
        history.calls += calls(_lines(path))
    history.calls.sort(key=lambda call: call.sent)
    history.ground = list(_lines(home / "ground.jsonl"))
    history.moves = list(_lines(home / "moves.jsonl"))
    history.asked = _asked(home)
    history.guilty = frozenset(request_id for request_id, each in history.asked.items() if each.do == "poison")
    if (home / "final.json").exists():
        history.final = json.loads((home / "final.json").read_text())
    return history


def options_of(home: Path) -> Options:
    """What a run was asked to be."""
    return Options.from_json(json.loads((home / "run.json").read_text())["options"])


def body_runs(lines: Iterable[dict[str, Any]]) -> list[BodyRun]:
    """Begins and their ends, joined by the nonce of the run."""
    begun: dict[str, dict[str, Any]] = {}
    ended: dict[str, dict[str, Any]] = {}
    for each in lines:
        (begun if each["is"] == "begin" else ended)[each["nonce"]] = each
    found = []
    for nonce, each in begun.items():
        end = ended.get(nonce, {})
        words = (each["id"], each["fence"], each["session_dir"], each["pid"], nonce, each["at"])
        found.append(BodyRun(*words, end.get("at"), end.get("how", "")))
    return found


def calls(lines: Iterable[dict[str, Any]]) -> list[Call]:
    """Calls of one producer with their answers."""
    sent: dict[str, dict[str, Any]] = {}
    answers: dict[str, dict[str, Any]] = {}
    for each in lines:
        if each["is"] == "sent":
            sent[each["call"]] = each
        elif each["is"] == "answer":
            answers[each["call"]] = each
    found = []
    for name, each in sent.items():
        answer = answers.get(name)
        rows = tuple((row[0], row[1], row[2], row[3]) for row in each["rows"])
        heard = (answer["at"], tuple(answer["codes"])) if answer else (None, None)
        found.append(Call(each["do"], each["at"], tuple(each["ids"]), rows, *heard))
    return found


def _asked(home: Path) -> dict[str, Asked]:
    steps = (step for path in home.glob("producer-*.steps") for step in _lines(path))
    return {job["id"]: Asked(job["do"], job.get("fails", 0)) for step in steps for job in step["jobs"]}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open() as file:
        for raw in file:
            # A process that was killed may leave the beginning of a line as the last one.
            if raw.endswith("\n"):
                yield json.loads(raw)
