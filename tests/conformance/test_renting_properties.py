"""Whatever watchers do with rented machines, in any order: rows and ledger are what was granted and charged.

A model in plain values stands beside a queue on fakeredis and is compared after each step.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import fakeredis
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.redisqueue import instances
from lib.redisqueue.fsck import fsck
from lib.redisqueue.instances import Intended
from lib.redisqueue.queue import Queue
from tests.conformance.renting import Renting, machine
from tests.conformance.stage import Stage

if TYPE_CHECKING:
    from lib.market.instance import Instance

CAP = 1000
MOST = 3
WHO = st.integers(0, 1)
WHICH = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rent"), WHO, st.integers(0, 600), st.integers(-1, 0)),
        st.tuples(st.just("rent"), WHO, st.integers(0, 600), st.just(0)),
        st.tuples(st.just("advance"), WHO, WHICH, st.integers(0, 300)),
        st.tuples(st.just("advance"), WHO, WHICH, st.integers(0, 300)),
        st.tuples(st.just("repeat"), WHO),
        st.tuples(st.just("end"), WHO, WHICH, st.integers(0, 50)),
        st.tuples(st.just("adopt"), WHO, WHICH),
        st.tuples(st.just("die"), WHO),
        st.tuples(st.just("sweep")),
    ),
    min_size=4,
    max_size=30,
)


@dataclass
class World:
    """The queue, and what must be true of it. `told` is every state of an instance that a watcher ever had in hand."""

    stage: Stage
    watchers: list[Renting]
    rows: dict[str, tuple[Instance, int]] = field(default_factory=dict)
    settled: int = 0
    bills: int = 0
    made: int = 0
    told: list[Instance] = field(default_factory=list)
    last: tuple[Renting, Instance, int] | None = None

    @property
    def reserved(self) -> int:
        """What all rows have left."""
        return sum(left for _, left in self.rows.values())

    async def step(self, name: str, *arguments: Any) -> None:
        """One thing that somebody does."""
        await getattr(self, name)(*arguments)
        await self.check()

    async def rent(self, who: int, reserve: int, blind: int) -> None:
        """It is granted just when all rows were seen, there is room, and the money is there."""
        self.made += 1
        living = len(self.rows) + blind
        one = self.watchers[who]
        answer = await one.ask(f"intent{self.made:04}", living=living, most=MOST, reserve=reserve, cap=CAP)
        fits = self.settled + self.reserved + reserve <= CAP or reserve == 0
        if blind:
            assert answer == instances.RentRefused("raced")
        elif len(self.rows) == MOST:
            assert answer == instances.RentRefused("enough")
        elif not fits:
            assert answer == instances.RentRefused("budget", self.settled + self.reserved)
        else:
            assert isinstance(answer, Intended)
            self.keep(answer.instance, reserve)

    def keep(self, instance: Instance, left: int) -> None:
        """A row as it was answered."""
        self.rows[instance.intent] = (instance, left)
        self.told.append(instance)

    def pick(self, which: int) -> Instance:
        """One that somebody has in hand, the newest ones first."""
        return self.told[-1 - which % len(self.told)] if self.told else machine("nobody00", fence="1")

    def is_true(self, told: Instance, one: Renting) -> bool:
        """Whether this is the row, and this watcher's."""
        return self.rows.get(told.intent, (None, 0))[0] == told and told.owner == one.session

    async def advance(self, who: int, which: int, charge: int) -> None:
        """It is done just where it is the newest word of its owner."""
        one, told = self.watchers[who], self.pick(which)
        mine = self.is_true(told, one)
        answer = await one.advance(told, charge, jobs_done=told.jobs_done + 1)
        assert (answer is not None) == mine
        if answer is not None:
            self.settled += charge
            self.last = (one, told, charge)
            self.keep(answer, max(0, self.rows[told.intent][1] - charge))

    async def repeat(self, who: int) -> None:
        """The last advance once more: the same answer while nothing has happened to it since, and never a charge."""
        if self.last is None:
            return
        one, told, charge = self.last
        now = self.rows.get(told.intent, (None, 0))[0]
        answer = await one.advance(told, charge, jobs_done=told.jobs_done + 1)
        done = now is not None and (now.version, now.owner) == (told.version + 1, one.session)
        assert answer == (now if done else None), who

    async def end(self, who: int, which: int, charge: int) -> None:
        """The row goes with its reservation."""
        one, told = self.watchers[who], self.pick(which)
        mine = self.is_true(told, one)
        bill = await instances.end(self.stage.queue, one.session, replace(told, state="gone"), charge)
        if mine:
            assert bill is not None
            assert bill.micro == told.cost + charge
            self.settled += charge
            self.bills += 1
            del self.rows[told.intent]

    async def adopt(self, who: int, which: int) -> None:
        """Only what nobody owns."""
        one, intent = self.watchers[who], self.pick(which).intent
        row, left = self.rows.get(intent, (None, 0))
        free = row is not None and row.owner not in {each.session for each in self.watchers}
        answer = await instances.adopt(self.stage.queue, one.session, intent)
        if free:
            assert answer is not None
            self.keep(answer, left)
        elif answer is not None:
            assert (answer, answer.owner) == (row, one.session), "its own, adopted before"

    async def die(self, who: int) -> None:
        """A watcher's session ends; it comes back with another one."""
        await self.stage.kill(self.watchers[who].session)
        await self.watchers[who].opened(f"w{who}")
        self.last = None

    async def sweep(self) -> None:
        """There is nothing to mend."""
        await self.stage.sweep()

    async def check(self) -> None:
        """Rows, reservations and what was charged are those of the model."""
        found = await instances.rows(self.stage.queue)
        assert {row.intent: row for row in found.instances} == {name: row for name, (row, _) in self.rows.items()}
        assert await self.watchers[0].money() == (self.settled, self.reserved)
        assert len(await instances.bills(self.stage.queue)) == self.bills


async def _play(steps: list[tuple[Any, ...]]) -> None:
    fake = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
    queue = Queue.over(fake, "redis://fake", flags=False)
    await queue.refresh_streams()
    stage = Stage(queue, "fakeredis")
    world = World(stage, [await Renting(stage).opened(f"w{i}") for i in range(2)])
    for step in steps:
        await world.step(*step)
    assert await fsck(queue, repair=False) == []
    await stage.check()
    await fake.aclose()


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_rows_and_ledger_are_what_was_granted_and_charged(steps: list[tuple[Any, ...]]) -> None:
    """Nobody writes another's row, nothing is charged twice or forgotten, and no intent passes cap or number."""
    asyncio.run(_play(steps))
