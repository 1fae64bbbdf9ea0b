"""The queue as a few dictionaries: what every transition must do, said without Redis.

Tokens (generations, fences) are opaque here: the machine reads them from the server and proves that they rise.
Order inside a stream is the server's too. Called by `test_stateful.py` only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.stage import CLOUD, METAL

HIGH = "stream:high:speech"
SUSPECT = 2
POISON = 12


@dataclass
class Job:
    """One active job."""

    request_id: str
    identity: str
    stream: str
    state: str = "Q"
    generation: str = ""
    attempt: int = 0
    deaths: int = 0
    crashes: int = 0
    key: str = ""
    waits: bool = False
    own_time: bool = False
    due: bool = False
    session: str = ""
    fence: str = ""
    delivered: str = ""

    @property
    def in_lane(self) -> bool:
        """Whether it stands in front of a backend."""
        return self.stream in {METAL, CLOUD}

    def leave_lane(self, state: str) -> None:
        """Back where limits are checked again."""
        self.state, self.stream = state, HIGH
        self.session = self.fence = self.delivered = ""


@dataclass
class Record:
    """One terminal record; an empty token is not known yet."""

    status: str
    identity: str
    attempt: int
    fence: str = ""


@dataclass(frozen=True)
class Ask:
    """One request, as a producer or another program makes it."""

    request_id: str
    content: str
    intake: str = "stream"
    key: str = ""
    queues: bool = False
    later: bool = False
    expected: str = ""

    @property
    def identity(self) -> str:
        """What makes two requests the same."""
        return f"hash-{self.content}"


@dataclass
class Model:
    """What must be true."""

    jobs: dict[str, Job] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    lapsed: set[str] = field(default_factory=set)
    accepted: int = 0
    expired: int = 0
    flushed: int = 0

    def submit(self, ask: Ask, mode: str = "new") -> str:
        """Accept one request; its code."""
        code = self._earlier(ask, mode)
        if code:
            return code
        busy = bool(ask.key) and ask.key in self.holders
        if busy and not ask.queues:
            return "key_busy"
        if self.records.pop(ask.request_id, None) is None:
            self.accepted += 1
        job = Job(ask.request_id, ask.identity, ask.intake, key=ask.key, waits=busy, own_time=ask.later)
        job.state = "D" if busy or ask.later else "Q"
        self.jobs[ask.request_id] = job
        if ask.key and not busy:
            self.holders[ask.key] = ask.request_id
        return "queued"

    def _earlier(self, ask: Ask, mode: str) -> str:
        job, record = self.jobs.get(ask.request_id), self.records.get(ask.request_id)
        if job:
            return "duplicate_request" if mode == "again" or job.identity == ask.identity else "conflict"
        if record is None:
            return "not_found" if mode == "again" else ""
        if mode == "again":
            return "" if record.status != "done" and record.fence == ask.expected else "changed"
        if record.identity != ask.identity and (record.identity != "lost" or mode == "replace"):
            return "" if mode == "replace" else "conflict"
        return f"already_{record.status}"

    def finish(self, request_id: str, status: str, *, fence: str = "", attempt: int | None = None) -> None:
        """End a job and pass its key on to the oldest waiter."""
        job = self.jobs.pop(request_id)
        self.records[request_id] = Record(status, job.identity, job.attempt if attempt is None else attempt, fence)
        if not job.key or job.waits:
            return
        del self.holders[job.key]
        waiters = [other for other in self.jobs.values() if other.waits and other.key == job.key]
        if waiters:
            oldest = min(waiters, key=lambda other: int(other.generation))
            oldest.waits, oldest.due = False, not oldest.own_time
            self.holders[job.key] = oldest.request_id

    def stands(self, session: str, request_id: str, fence: str) -> bool:
        """Whether a lease is still one."""
        job = self.jobs.get(request_id)
        return (
            session in self.alive and job is not None and (job.state, job.session, job.fence) == ("L", session, fence)
        )

    def commit(self, session: str, request_id: str, fence: str, status: str) -> str:
        """End a leased job; its code."""
        if self.stands(session, request_id, fence):
            self.finish(request_id, status, fence=fence, attempt=self.jobs[request_id].attempt + 1)
            return "ok"
        record = self.records.get(request_id)
        return "already" if record and record.fence == fence else "refused"

    def retry(self, session: str, request_id: str, fence: str, kind: str, *, at_once: bool) -> bool:
        """Delay a leased job."""
        if not self.stands(session, request_id, fence):
            return False
        job = self.jobs[request_id]
        job.attempt += kind == "attempt"
        job.crashes += kind == "crash"
        job.leave_lane("D")
        job.due = at_once
        return True

    def hand_back(self, session: str, request_id: str, fence: str) -> bool:
        """Put a leased job back."""
        if not self.stands(session, request_id, fence):
            return False
        self.jobs[request_id].leave_lane("Q")
        return True

    def queue_due(self) -> int:
        """Queue what is due; how many."""
        ready = [job for job in self.jobs.values() if job.state == "D" and job.due and not job.waits]
        for job in ready:
            job.state, job.due, job.own_time = "Q", False, False
        return len(ready)

    def start(self, session: str, request_ids: list[str], suspects: int) -> dict[str, str]:
        """Lease what was read or named; request_id -> code."""
        codes = {}
        for request_id in request_ids:
            job = self.jobs[request_id]
            job.delivered = session
            codes[request_id] = "started"
            if job.deaths >= SUSPECT:
                codes[request_id] = "started" if suspects else "put_off"
                suspects = max(0, suspects - 1)
            if codes[request_id] == "put_off":
                job.leave_lane("D")
                job.due = False
            if codes[request_id] == "started":
                job.state, job.session, job.fence = "L", session, ""
        return codes

    def sweep(self, readers: dict[str, set[str]]) -> tuple[set[str], list[str]]:
        """End what lapsed and take back what the dead held; who is back, and the poison that stays to be condemned."""
        self.alive -= self.lapsed
        self.lapsed.clear()
        back, poison = set(), []
        for lane in (CLOUD, METAL):
            here = [job for job in self.jobs.values() if job.stream == lane]
            for job in here:
                if not job.delivered or job.delivered in self.alive:
                    continue
                if job.state == "L" and job.deaths + 1 >= POISON:
                    poison.append(job.request_id)
                    continue
                job.deaths += job.state == "L"
                back.add(job.request_id)
            held = [job for job in here if job.delivered and job.request_id not in back]
            if not held and not readers.get(lane, set()) & self.alive:
                back |= {job.request_id for job in here}
        for request_id in back:
            self.jobs[request_id].leave_lane("Q")
        return back, poison

    def flush(self, *, hard: bool) -> None:
        """Everything active is gone, and with `hard` every record."""
        self.flushed += len(self.jobs) + (len(self.records) if hard else 0)
        self.jobs.clear()
        self.holders.clear()
        if hard:
            self.records.clear()
