"""Histories written by hand, for tests of the checker: a sound one of a few jobs, to be broken in one place each.

A `Script` writes what the queue, the bodies and the producers would leave behind, step by step, a tenth of a second
apart. Nothing runs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.machine.checker import check
from tests.chaos.machine.checks import session_dir
from tests.chaos.machine.history import Asked, BodyRun, Call, History, Line

LIFE, SWEEP = 3.0, 0.8
LANE = "lane:metal:any"
INTAKE = "stream:normal:any"
A, B = "w1:a", "w2:b"
ECHO = "echo"
IDENTITY = "same"


def digest(echo: str) -> str:
    """As a body writes it into its result."""
    return hashlib.sha256(echo.encode()).hexdigest()[:32]


@dataclass
class Script:
    """A history under way; `now` is the time of the next step."""

    history: History = field(default_factory=lambda: History(LIFE, SWEEP, slots=2))
    now: float = 100.0
    counter: int = 1000
    records: dict[str, str] = field(default_factory=dict)
    renewed: dict[str, float] = field(default_factory=dict)

    def step(self, *ops: tuple[Any, ...]) -> None:
        """One step of the queue."""
        self.history.lines.append(Line(self.now, ops))
        self.now = round(self.now + 0.1, 3)

    def fence(self) -> str:
        """The next value of the counter."""
        self.counter += 1
        return str(self.counter)

    @property
    def ms(self) -> int:
        """The server's clock."""
        return int(self.now * 1000)

    def open(self, session: str) -> None:
        """A session begins, or renews."""
        self.renewed[session] = self.now
        self.step(("session", session, self.ms + LIFE * 1000))

    def sweep(self, *ended: str) -> None:
        """A sweep that ends these sessions."""
        self.step(("sweep", self.ms), *(("session", session, None) for session in ended))

    def row(self, state: str, job: str, gen: str, place: str = "", entry: str = "", **more: str) -> tuple[Any, ...]:
        """A row of the index as an operation."""
        session, fence, reason, key = (more.get(name, "") for name in ("session", "fence", "reason", "key"))
        words = (state, gen, "0", "", "", place, entry, more.get("identity", IDENTITY), session, fence, reason, key)
        return ("row", job, "|".join(words))

    def submit(self, job: str, *, key: str = "", code: str = "queued", mode: str = "submit", do: str = "ok") -> str:
        """A producer asks for what the body is to `do`, the queue accepts, the producer hears; the generation."""
        sent = self.now - 0.01
        self.history.asked.setdefault(job, Asked(do))
        gen = self.fence()
        ops: list[tuple[Any, ...]] = [("fence", gen), ("entry", INTAKE, f"{gen}-0", job, gen)]
        ops.append(self.row("Q", job, gen, INTAKE, f"{gen}-0", key=key))
        if key:
            ops.append(("key", key, f"{gen}|{job}"))
        if job in self.records:
            ops.insert(0, ("record", job, self.records.pop(job), None))
        else:
            ops.append(("count", "accepted", 1))
        self.step(*ops)
        self.asked(job, code, mode=mode, sent=sent)
        return gen

    def asked(
        self, job: str, code: str | None, *, mode: str = "submit", sent: float = 0, identity: str = IDENTITY
    ) -> None:
        """A producer's call and its answer; None: there was none."""
        heard = (None, None) if code is None else (self.now, (code,))
        rows = ((job, identity, 0, ECHO),) if mode in {"submit", "replace"} else ()
        self.history.calls.append(Call(mode, sent or self.now, (job,), rows, *heard))

    def move(self, job: str, gen: str, *, key: str = "") -> None:
        """From its intake to the lane."""
        entry = f"{gen}-1"
        row = self.row("Q", job, gen, LANE, entry, key=key)
        self.step(("entry", LANE, entry, job, gen), row, ("gone", INTAKE, f"{gen}-0"))

    def start(self, job: str, gen: str, session: str, *, key: str = "", body: str = "ok") -> str:
        """A watcher takes it and its body runs, ending as `body` says (empty: it never does); the fence."""
        fence, entry = self.fence(), f"{gen}-1"
        row = self.row("L", job, gen, LANE, entry, session=session, fence=fence, key=key)
        self.step(("held", LANE, entry, session), ("fence", fence), row)
        end = (self.now, body) if body else (None, "")
        self.history.runs.append(BodyRun(job, fence, session_dir(session), 1, f"n{fence}", self.now, *end))
        return fence

    def move_and_start(self, job: str, gen: str, session: str, *, delivered: bool = True) -> str:
        """The leader moves it and leases it to its own watcher in one step; the fence."""
        fence, entry = self.fence(), f"{gen}-1"
        ops = [("entry", LANE, entry, job, gen), self.row("Q", job, gen, LANE, entry), ("gone", INTAKE, f"{gen}-0")]
        held = [("held", LANE, entry, session)] if delivered else []
        leased = self.row("L", job, gen, LANE, entry, session=session, fence=fence)
        self.step(*ops, *held, ("fence", fence), leased)
        self.history.runs.append(BodyRun(job, fence, session_dir(session), 1, f"n{fence}", self.now, self.now, "ok"))
        return fence

    def put_off(self, job: str, gen: str, *, kept: bool = True, due: bool = True) -> None:
        """Its try is over, and another comes later."""
        ops: list[tuple[Any, ...]] = [("kept", job, True)] if kept else []
        ops += [("due", job, self.ms + 1000.0)] if due else []
        row = self.row("D", job, gen, reason="retry")
        self.step(*ops, row, ("held", LANE, f"{gen}-1", None), ("gone", LANE, f"{gen}-1"))

    def back(self, job: str, gen: str) -> None:
        """What was delayed is due, and waits in its intake again."""
        ops = [("due", job, None), ("kept", job, False), ("entry", INTAKE, f"{gen}-0", job, gen)]
        self.step(*ops, self.row("Q", job, gen, INTAKE, f"{gen}-0"))

    def cancelled(self, job: str, gen: str) -> None:
        """The queue ends it at somebody's wish while it waits in its intake."""
        fence = self.fence()
        record = self.record(job, gen, fence, status="cancelled")
        self.step(("fence", fence), record, ("row", job, None), ("gone", INTAKE, f"{gen}-0"))

    def fault(self, kind: str, target: str, seconds: float) -> None:
        """Something is broken from now on, for so long; the time does not go by."""
        number, words = len(self.history.ground), {"kind": kind, "target": target}
        self.history.ground.append({"at": self.now, "is": "begin", "fault": number, **words})
        self.history.ground.append({"at": self.now + seconds, "is": "end", "fault": number, "said": "", **words})

    def record(self, job: str, gen: str, fence: str, **more: Any) -> tuple[Any, ...]:
        """A terminal record as an operation."""
        status = more.get("status", "done")
        body = {"result": {"echo": more.get("echo", digest(ECHO)), "nonce": more.get("nonce", f"n{fence}")}}
        head = f'{{"schema_version":1,"generation":{gen},"fence":{fence},"attempt":{more.get("attempt", 1)},'
        head += f'"identity":"{IDENTITY}","history":"1-1","status":"{status}",'
        tail = json.dumps({**body, **more.get("tail", {})})[1:]
        self.records[job] = "result" if status == "done" else "failed"
        return ("record", job, self.records[job], head + tail)

    def commit(self, job: str, gen: str, fence: str, *, key: str = "", **more: Any) -> None:
        """The watcher ends it: record first, entry last, one step."""
        ops: list[tuple[Any, ...]] = [self.record(job, gen, fence, **more), ("row", job, None)]
        if key:
            ops.append(("key", key, None))
        self.step(*ops, ("held", LANE, f"{gen}-1", None), ("gone", LANE, f"{gen}-1"))

    def take_back(self, job: str, gen: str) -> None:
        """A sweep puts a dead one's job back into intake."""
        ops = [("entry", INTAKE, f"{gen}-0", job, gen), self.row("Q", job, gen, INTAKE, f"{gen}-0")]
        self.step(*ops, ("held", LANE, f"{gen}-1", None), ("gone", LANE, f"{gen}-1"))

    def whole(self, job: str, session: str = "w1:a") -> None:
        """A job from its submit to its record."""
        gen = self.submit(job)
        self.move(job, gen)
        self.commit(job, gen, self.start(job, gen, session))

    def died(self, name: str) -> None:
        """A watcher is killed."""
        self.history.ground.append({"at": self.now, "is": "dead", "name": name, "how": "killed"})

    def passes(self, seconds: float, *, alive: str = "", sweeps: bool = True) -> None:
        """Time goes by; `alive` renews and sweeps meanwhile."""
        end = self.now + seconds
        while self.now < end:
            if alive:
                self.open(alive)
            if sweeps:
                self.sweep()
            self.now = round(self.now + 0.3, 3)

    def end(self) -> History:
        """All is quiet: the last look, which agrees."""
        self.history.ground.append({"at": self.now, "is": "drained"})
        self.history.final = {
            "rows": [],
            "records": dict.fromkeys(self.records, ""),
            **{name: [] for name in ("contradictions", "unknown_keys", "fsck", "outputs")},
            "imbalance": 0,
        }
        return self.history


def two_sessions() -> Script:
    """A queue with two sessions, and a sweep that has seen it."""
    found = Script()
    found.open(A)
    found.open(B)
    found.sweep()
    return found


def broken(script: Script) -> set[int]:
    """The promises that the checker finds broken."""
    return set(check(script.end()).broken)


def said(script: Script) -> str:
    """All that it says."""
    return "\n".join(verdict.text() for verdict in check(script.end()).verdicts)
