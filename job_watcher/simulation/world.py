"""The queue as a simulation needs it: what move.lua, the limits and the watchers do, on a clock that is given to it.

It knows nothing of policies. Lanes are first in, first out; a watcher takes the oldest entry that it has a slot for;
an entry stands in its lane until it ends; what comes back goes to the high intake of its class. The window of jobs a
minute and the ledger of the day are checked at every move, whatever the decision took for granted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from lib.jobqueue.moves import LiveWatcher, Move, RateState, Survey
from lib.redisqueue.keys import LaneName, parse_intake, parse_lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from job_watcher.simulation.scenario import Scenario, SimJob

DAY_MS: Final = 86_400_000
Status = Literal["waiting", "done", "failed"]


@dataclass(slots=True)
class Standing:
    """A job in the queue, and what has become of it. Times are milliseconds of the virtual clock."""

    job: SimJob
    intake: str
    attempts: int = 0
    status: Status = "waiting"
    ended_ms: int | None = None
    reserved: int = 0
    spent: int = 0
    moved: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Slot:
    """One slot of one watcher on one backend, and the job in it."""

    watcher: str
    backend: str
    number: int
    lanes: tuple[str, ...]
    busy: Standing | None = None
    since_ms: int = 0

    @property
    def name(self) -> str:
        """As the picture names its row."""
        return f"{self.watcher} {self.number}"


@dataclass(slots=True)
class Ledger:
    """What is spent and reserved, by UTC day of the virtual clock: a reservation that passes the cap is refused."""

    cap: int | None
    spent: int = 0
    reserved: int = 0
    _day: int = 0

    def roll(self, now_ms: int) -> None:
        """Begin a new day where one has begun; what is reserved stays so."""
        if now_ms // DAY_MS != self._day:
            self._day, self.spent = now_ms // DAY_MS, 0

    def reserve(self, micro: int) -> bool:
        """Whether so much was set aside."""
        if self.cap is not None and micro and self.spent + self.reserved + micro > self.cap:
            return False
        self.reserved += micro
        return True

    def settle(self, reserved: int, spent: int) -> None:
        """Book what it really was."""
        self.reserved -= reserved
        self.spent += spent


class World:
    """The state of the queue; `now_ms` is set by whoever owns the clock."""

    def __init__(self, scenario: Scenario) -> None:
        self.now_ms = 0
        self.limits = scenario.limits
        self.rate = scenario.limits.rate()
        self.ledger = Ledger(scenario.limits.budget)
        # Ordered ones forget their heads at once; a plain dict is searched from where its first head was.
        self.intakes: dict[str, OrderedDict[str, Standing]] = {}
        self.lanes: dict[str, deque[tuple[int, Standing]]] = {}
        self.held: dict[str, int] = {}
        self.window: deque[int] = deque()
        self.slots: list[Slot] = []
        self.watchers: list[LiveWatcher] = []
        self._entries = 0
        for watcher in scenario.watchers:
            self.join(watcher.name, dict(watcher.slots), dict(watcher.offers))

    def open_lanes(self, backend: str, capabilities: Iterable[str]) -> None:
        """The lanes of a backend that nobody reads yet."""
        for capability in sorted(capabilities):
            self.lanes.setdefault(str(LaneName(backend, capability)), deque())
            self.held.setdefault(str(LaneName(backend, capability)), 0)

    def join(self, name: str, slots: dict[str, int], offers: dict[str, frozenset[str]]) -> None:
        """A watcher begins to live, or a machine to work."""
        every = frozenset[str]().union(*offers.values()) if offers else frozenset()
        self.watchers.append(LiveWatcher(name, f"{name}:1", every, slots, 0, offers))
        for backend, count in sorted(slots.items()):
            lanes = tuple(str(LaneName(backend, each)) for each in sorted(offers.get(backend, ())))
            for lane in lanes:
                self.lanes.setdefault(lane, deque())
                self.held.setdefault(lane, 0)
            self.slots += [Slot(name, backend, number + 1, lanes) for number in range(count)]

    def leave(self, name: str) -> list[Standing]:
        """A watcher is gone: what it ran goes back and uses up no attempt, as does what nobody reads any more."""
        self.watchers = [each for each in self.watchers if each.name != name]
        gone = [slot for slot in self.slots if slot.watcher == name]
        self.slots = [slot for slot in self.slots if slot.watcher != name]
        back = [(slot.backend, slot.busy) for slot in gone if slot.busy is not None]
        for slot in gone:
            slot.busy = None
        read = {lane for slot in self.slots for lane in slot.lanes}
        for lane in {lane for slot in gone for lane in slot.lanes} - read:
            backend = parse_lane(lane).backend
            for _, standing in self.lanes[lane]:
                standing.attempts += 1  # taken back below, as of the others
                back.append((backend, standing))
            self.lanes[lane].clear()
        for backend, standing in back:
            self.held[str(LaneName(backend, standing.job.capability))] -= 1
            self.ledger.settle(standing.reserved, 0)
            standing.reserved = 0
            standing.attempts -= 1
            standing.intake = str(parse_intake(standing.intake).high())
            self.accept(standing)
        return [standing for _, standing in back]

    def accept(self, standing: Standing) -> None:
        """Queue a job, or put one back."""
        self.intakes.setdefault(standing.intake, OrderedDict())[standing.job.id] = standing

    def waits(self) -> bool:
        """Whether a job stands in an intake."""
        return any(self.intakes.values())

    def survey(self) -> Survey:
        """What the conductor sees."""
        self._slide()
        left = self.rate.jobs - len(self.window)
        next_ms = None if left > 0 else self.window[-self.rate.jobs] + self.rate.window_ms - self.now_ms + 1
        return Survey(
            waiting={name: len(standing) for name, standing in self.intakes.items()},
            held=dict(self.held),
            due_in_ms=None,
            newest="",
            rate=RateState(left, next_ms, spent=self.ledger.spent + self.ledger.reserved),
        )

    def move(self, orders: Sequence[Move]) -> list[list[Standing]]:
        """Carry the orders out as far as room, rate and money let them; who was moved by each."""
        self._slide()
        return [self._carry_out(order) for order in orders]

    def _carry_out(self, order: Move) -> list[Standing]:
        intake = self.intakes.get(order.intake, OrderedDict())
        room = min(
            order.limit - self.held[order.lane],
            order.pool_limit - sum(self.held[lane] for lane in order.pool),
            order.count,
        )
        moved: list[Standing] = []
        heads = (
            [intake[key] for key in order.picks if key in intake]
            if order.picks
            else list(islice(intake.values(), max(0, room)))
        )
        for standing in heads:
            if len(moved) >= room or (order.rated and len(self.window) >= self.rate.jobs):
                break
            if not self.ledger.reserve(order.price):
                break
            standing.reserved = order.price
            if order.rated:
                self.window.append(self.now_ms)
            del intake[standing.job.id]
            self._entries += 1
            self.lanes[order.lane].append((self._entries, standing))
            self.held[order.lane] += 1
            standing.moved.append((self.now_ms, parse_lane(order.lane).backend))
            moved.append(standing)
        return moved

    def lease(self) -> list[tuple[Slot, Standing]]:
        """Give the oldest entries to free slots; who begins where."""
        begun: list[tuple[Slot, Standing]] = []
        for slot in self.slots:
            if slot.busy is not None:
                continue
            heads = [(self.lanes[lane][0][0], lane) for lane in slot.lanes if self.lanes[lane]]
            if not heads:
                continue
            _, lane = min(heads)
            _, standing = self.lanes[lane].popleft()
            slot.busy, slot.since_ms = standing, self.now_ms
            standing.attempts += 1
            begun.append((slot, standing))
        return begun

    def end(self, slot: Slot, status: Status, spent: int) -> Standing:
        """The job in a slot ends an attempt: its entry leaves the lane, its money is booked."""
        standing = slot.busy
        if standing is None:
            raise ValueError(f"nothing runs in {slot.name}")
        slot.busy = None
        self.held[str(LaneName(slot.backend, standing.job.capability))] -= 1
        self.ledger.settle(standing.reserved, spent)
        standing.reserved, standing.spent = 0, standing.spent + spent
        standing.status = status
        if status == "waiting":
            standing.intake = str(parse_intake(standing.intake).high())
        else:
            standing.ended_ms = self.now_ms
        return standing

    def _slide(self) -> None:
        self.ledger.roll(self.now_ms)
        # As in rate.lua: a move leaves the window when it is exactly as old as the window is wide.
        while self.window and self.window[0] <= self.now_ms - self.rate.window_ms:
            self.window.popleft()
