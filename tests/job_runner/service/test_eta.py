"""When what waits will be done: only where it was measured and somebody works; and where each job stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service.eta import Eta, eta_in_line, eta_of, in_line, line_of, with_eta
from job_runner.service.known import Known, known, known_in_time, overview_of
from lib.redisqueue import measures, reader
from lib.redisqueue.measures import Measured, Sample
from lib.redisqueue.place import Place
from lib.settings import Settings

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher

SETTINGS = Settings.load({"HOME": "/tmp"})  # noqa: S108 - nothing is written
TEN_SECONDS = Measured(1000, 10.0, 12.0, 10.0, 0, 0)
MEASURED = {("debug", "metal", 0): TEN_SECONDS}


def queue_of(count: int, *, slots: int = 1, alive: bool = True, measured: Any = MEASURED, **totals: int) -> Known:
    """A queue of so many jobs of the class `any`, and one watcher on metal."""
    document = {
        "watchers": [{"alive": alive, "slots": {"metal": slots}, "capabilities": ["any"]}],
        "by_capability": {"any": count} if count else {},
        "totals": {"queued": count, "leased": 0, "outstanding": count, **totals},
    }
    return Known(answered=True, measured=measured, document=document)


def test_all_that_waits() -> None:
    """Jobs times their seconds, over the slots of the living."""
    found = eta_of(queue_of(100), SETTINGS)
    assert found is not None
    assert found.p50 == pytest.approx(1000, rel=0.02)
    assert found.p90 > found.p50
    half = eta_of(queue_of(100, slots=2), SETTINGS)
    assert half is not None
    assert half.p50 == pytest.approx(500, rel=0.02)


def test_rented_machines_count_that_take_jobs_now() -> None:
    """Not those that may be rented: a machine takes minutes to start, and perhaps nobody wants another one."""
    given = {"VAST_API_KEY": "k" * 32, "BUDGET_PER_DAY_USD": "9", "VAST_MAX_INSTANCES": "4"}
    settings = Settings.load({"HOME": "/tmp", **given})  # noqa: S108 - nothing is written
    measured = {("speak", "vast", 0): TEN_SECONDS}
    working = {"state": "draining", "owner_alive": True, "damaged": False, "market": "vast"}
    starting, gone, damaged = ({"state": "loading"}, {"owner_alive": False}, {"state": None, "damaged": True})
    # A hundred jobs of the size in the middle of their measured class, 15 s each.
    for machines, seconds in (
        ([working], 1500),
        ([working, working | {"state": "idle"}], 750),
        ([working, working | starting, working | gone, working | damaged], 1500),
    ):
        document = {
            "watchers": [
                {"alive": True, "slots": {"vast": 128}, "capabilities": ["speech"], "offers": {"vast": ["speech"]}}
            ],
            "by_capability": {"speech": 100},
            "totals": {"queued": 100, "leased": 0, "outstanding": 100},
            "instances": machines,
        }
        found = eta_of(Known(answered=True, measured=measured, document=document), settings)
        assert found is not None
        assert found.p50 == pytest.approx(seconds, rel=0.02), machines


@pytest.mark.parametrize(
    "silent",
    [
        queue_of(0),
        queue_of(5, alive=False),
        queue_of(5, slots=0),
        queue_of(5, measured={}),
        queue_of(5, measured={("speak", "metal", 0): TEN_SECONDS}),
        queue_of(5, measured={("debug", "cloud", 0): TEN_SECONDS}),
    ],
)
def test_nothing_is_promised_that_nobody_keeps(silent: Known) -> None:
    """No jobs, no watcher, no slot, or nothing that was measured of such jobs where they would run."""
    assert eta_of(silent, SETTINGS) is None
    assert with_eta(silent, SETTINGS)["eta"] is None


def test_the_document_has_it_in_seconds() -> None:
    """p50 and p90."""
    found = with_eta(queue_of(1), SETTINGS)["eta"]
    assert found["p50_sec"] == pytest.approx(10, abs=0.5)
    assert set(found) == {"p50_sec", "p90_sec"}


def test_who_goes_first() -> None:
    """Those of a higher priority, those before it, and as many of each line that takes turns; never more than wait."""
    waiting = queue_of(50)
    assert line_of(Place(0, ahead=3, higher=2), waiting) == 5
    assert line_of(Place(0, ahead=3, higher=2, beside=2), waiting) == 11
    assert line_of(Place(0, ahead=40, beside=2), waiting) == 49


def test_what_runs_now_ends_first() -> None:
    """Two that run and three before it: the sixth."""
    found = eta_in_line("any", 3, queue_of(50, leased=2), SETTINGS)
    assert found is not None
    assert found.p50 == pytest.approx(60, rel=0.05)
    assert Eta(60, 90).part(0.5) == Eta(30, 45)


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    """A plan goes on without it, and says so."""
    nobody = Settings.load({"HOME": "/tmp", "REDIS_URL": "redis://127.0.0.1:1/0"})  # noqa: S108 - nothing is written
    assert known_in_time(nobody) == Known()


def test_positions_of_a_file(runner: JobRunner) -> None:
    """In the order of the line, whatever the order of the question; each with its share of the time."""
    runner("enqueue", runner.file("".join(f"- {{request_id: job-{i}, task: debug}}\n" for i in range(10))))
    settings = Settings.load({"HOME": "/tmp", "REDIS_URL": runner.url, "JOBS_PREFIX": runner.prefix})  # noqa: S108 - nothing is written

    async def look(watcher: HandWatcher) -> None:
        await measures.add(watcher.queue, [Sample("debug", "metal", 1.0, 10.0)] * 100)
        found = await reader.results(watcher.queue, [f"job-{i}" for i in (9, 4, 3, 9)] + ["nobody"])
        lines = await in_line(watcher.queue, settings, found)
        # Those between the first and the last that was asked for are not seen: they follow each other.
        assert {name: line.before for name, line in lines.items()} == {"job-3": 3, "job-4": 4, "job-9": 5}
        etas = [lines[name].eta for name in ("job-3", "job-4", "job-9")]
        assert [eta.p50 for eta in etas if eta] == pytest.approx([40, 50, 60], rel=0.1)
        said = await known(watcher.queue, settings)
        assert said.document == await overview_of(watcher.queue, settings) | {
            name: said.document[name] for name in ("timestamp", "stream", "lock", "watchers")
        }

    runner.by_hand(look)


def test_what_has_ended_stands_in_no_line(runner: JobRunner) -> None:
    """Nothing is looked up for it."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def end(watcher: HandWatcher) -> None:
        await watcher.all_done()
        found = await reader.results(watcher.queue, ["a"])
        assert await in_line(watcher.queue, SETTINGS, found) == {}

    runner.by_hand(end)
