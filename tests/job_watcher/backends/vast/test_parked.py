"""Machines between two sessions of their watcher: each is gone on with for itself, and none is forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.backends.vast.parked import Parked
from lib.errors import UnreachableError
from lib.redisqueue import instances, sessions
from tests.conformance.renting import machine

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class StillHands:
    """Hands that answer as the test says."""

    fault: Exception | None = None
    ready: bool = True
    did: list[str] = field(default_factory=list)
    tell: Callable[[Any], None] = lambda _: None

    async def go_on(self, session: Any) -> str:
        """As told."""
        self.did.append(f"goes on in {session}")
        if self.fault is not None:
            raise self.fault
        self.ready = True
        return ""

    def close(self) -> None:
        """Written down."""
        self.did.append("closed")


@dataclass
class LastKeeper:
    """What is asked of the keeper that let go."""

    instance: Any
    market: Any = None
    jobs_done: int = 7
    asked: list[str] = field(default_factory=list)

    async def end_regardless(self) -> None:
        """Written down."""
        self.asked.append("end")


class Scene:
    """Three machines that wait, and a queue that answers as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parked = Parked(lambda: None)
        self.hands = {name: StillHands() for name in ("aaaa0001", "bbbb0002", "cccc0003")}
        for name, hands in self.hands.items():
            self.parked.add(LastKeeper(machine(name)), hands)  # type: ignore[arg-type]  # stand-ins
        self.answers: dict[str, Any] = {}
        self.kept: list[Any] = []
        self.standing = frozenset({"w:2"})
        monkeypatch.setattr(instances, "resume", self._resume)
        monkeypatch.setattr(sessions, "live_sessions", self._living)

    async def resume(self, *, end: bool = False) -> None:
        """In the next session."""
        books: Any = type("Books", (), {"queue": None, "session": "w:2"})()
        session: Any = "w:2"
        await self.parked.resume(books, session, lambda keeper, _: self.kept.append(keeper), end=end)

    @property
    def names(self) -> list[str]:
        """Of those that are kept again."""
        return [keeper.instance.intent for keeper in self.kept]

    async def _living(self, _: Any) -> frozenset[str]:
        return self.standing

    async def _resume(self, _: Any, __: Any, instance: Any) -> Any:
        await asyncio.sleep(0)
        answer = self.answers.get(instance.intent, instance)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """All is well."""
    return Scene(monkeypatch)


async def test_they_take_no_jobs_until_they_are_gone_on_with(scene: Scene) -> None:
    """And then they have a keeper that knows what they had done."""
    assert not any(hands.ready for hands in scene.hands.values())
    await scene.resume()
    assert all(hands.ready for hands in scene.hands.values())
    assert (scene.names, {keeper.jobs_done for keeper in scene.kept}) == (list(scene.hands), {7})
    assert not scene.parked.any


async def test_a_queue_that_goes_away_loses_none(scene: Scene) -> None:
    """The first has its keeper; the others wait for the next round."""
    scene.answers["bbbb0002"] = UnreachableError("away", hint="wait")
    with pytest.raises(UnreachableError):
        await scene.resume()
    assert scene.names == ["aaaa0001"]
    scene.answers.clear()
    await scene.resume()
    assert scene.names == list(scene.hands)


async def test_what_somebody_took_over_is_left(scene: Scene) -> None:
    """Its connection is closed, and nobody keeps it here."""
    scene.answers["bbbb0002"] = None
    await scene.resume()
    assert scene.names == ["aaaa0001", "cccc0003"]
    assert scene.hands["bbbb0002"].did == ["closed"]


async def test_a_session_that_has_ended_itself_concludes_nothing(scene: Scene) -> None:
    """A keeper may hear before its watcher does that the session is lost: the next session asks anew."""
    scene.answers = dict.fromkeys(scene.hands)
    scene.standing = frozenset()
    await scene.resume()
    assert (scene.names, [hands.did for hands in scene.hands.values()]) == ([], [[], [], []])
    scene.answers.clear()
    scene.standing = frozenset({"w:2"})
    await scene.resume()
    assert scene.names == list(scene.hands)


async def test_a_stop_in_the_middle_of_it_finds_each_once(scene: Scene) -> None:
    """The round that goes on with them is still under way: neither of the two fails, and each has one keeper."""
    await asyncio.gather(scene.resume(), scene.resume(end=True))
    assert sorted(scene.names) == list(scene.hands)
    assert not scene.parked.any


@pytest.mark.parametrize("fault", [TimeoutError(), OSError("broken pipe"), UnreachableError("no", hint="x")])
async def test_one_that_does_not_answer_is_ended_by_its_keeper(scene: Scene, fault: Exception) -> None:
    """Whatever it does, the next one is gone on with."""
    scene.hands["aaaa0001"].fault = fault
    await scene.resume()
    assert scene.names == list(scene.hands)
    assert [keeper._events.qsize() for keeper in scene.kept] == [1, 0, 0]


async def test_a_watcher_that_stops_brings_them_to_their_end(scene: Scene) -> None:
    """Nobody speaks to the hosts any more; their keepers do the rest."""
    await scene.resume(end=True)
    assert scene.names == list(scene.hands)
    assert all(hands.did == [] for hands in scene.hands.values())


async def test_whoever_gives_up_asks_for_their_end(scene: Scene) -> None:
    """There may be no next session: until somebody finds their rows nobody else would ask."""
    last = [keeper for keeper, _ in scene.parked._there.values()]
    await scene.parked.leave(5.0)
    assert all(hands.did == ["closed"] for hands in scene.hands.values())
    assert [keeper.asked for keeper in last] == [["end"]] * 3  # type: ignore[attr-defined]  # stand-ins
    assert not scene.parked.any
