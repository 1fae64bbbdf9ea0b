"""`job-runner instances` and `offers`: what is rented and what it came to, within 80 columns; and ending it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from docs.generate.shapes import SHAPES, misfits
from lib.market.instance import Instance
from lib.redisqueue import instances, sessions
from lib.redisqueue.instances import Intended
from lib.redisqueue.namespace import namespace
from lib.renting import ending
from tests.fakes.vast_server import FakeVast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.market.instance import InstanceState
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher

KEY = "k" * 32


@pytest.fixture(scope="module")
def shared_fake() -> Iterator[FakeVast]:
    """One market without hosts."""
    importlib.import_module("vastai")
    with FakeVast() as market:
        yield market


@pytest.fixture
def fake(shared_fake: FakeVast, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVast]:
    """The market that this environment names; nothing is rented there."""
    monkeypatch.setenv("VAST_API_KEY", KEY)
    monkeypatch.setenv("VAST_URL", shared_fake.url)
    monkeypatch.setenv("VAST_DISK", "10")
    monkeypatch.setattr(ending, "SETTLED_SECONDS", 0)
    yield shared_fake
    shared_fake.forget()
    for each in shared_fake.living:
        shared_fake.act("end", each.id)


async def row(watcher: HandWatcher, intent: str, market_id: str = "7") -> Instance:
    """A machine that works, for half a dollar an hour."""
    seen = await instances.rows(watcher.queue)
    wish = Instance(
        intent, "", "vast", "intended", seen.now, seen.now + 60, seen.now + 7200, dph=500_000, gpu="RTX 4090"
    )
    answer = await instances.intend(
        watcher.queue, watcher.session, wish, living=seen.living, most=9, reserve=1_000_000, cap=9_000_000
    )
    assert isinstance(answer, Intended)
    spent: dict[InstanceState, float] = {"loading": 60.0, "draining": 300.0, "idle": 100.0}
    working = replace(
        answer.instance, state="draining", market_id=market_id, created_at=seen.now, jobs_done=7, spent=spent
    )
    advanced = await instances.advance(watcher.queue, watcher.session, working, 123_400)
    assert advanced is not None
    return advanced


def test_nothing_is_rented(runner: JobRunner) -> None:
    """It says so, with and without a subcommand."""
    for words in (("instances",), ("instances", "list")):
        outcome = runner(*words)
        assert (outcome.code, outcome.out, outcome.err.strip()) == (0, "", "nothing is rented")
    document = runner("instances", "--json").document
    assert (document["instances"], document["bills"]) == ([], [])
    assert runner("instances", "--json", "list").code == 2


def test_rows_and_bills_fit_eighty_columns_and_their_shape(runner: JobRunner) -> None:
    """What runs, what it came to, and what a job cost."""

    async def two(watcher: HandWatcher) -> None:
        await row(watcher, "aaaa0001aaaa0001")
        ended = replace(await row(watcher, "bbbb0002bbbb0002"), state="gone", reason="lost: no answer", failed=True)
        assert await instances.end(watcher.queue, watcher.session, ended, 100)

    runner.by_hand(two)
    out = runner("instances").out
    assert max(map(len, out.splitlines())) <= 80
    assert "aaaa0001aaaa0001  draining" in out
    assert "its watcher is gone" in out
    assert "lost: no answer" in out
    assert "25 %" in out
    assert out.splitlines()[-1] == "$0.1235 for 7 jobs"
    document = runner("instances", "list", "--json").document
    assert misfits(SHAPES["job-runner instances list"], document) == []
    assert document["bills"][0]["usd_per_job"] == pytest.approx(0.0176, abs=1e-4)
    assert runner("instances", "list", "--bills", "0", "--json").document["bills"] == []


def test_a_name_that_is_none_is_not_found(runner: JobRunner) -> None:
    """Exit code 4, before anybody is asked; and nothing of the others is ended."""

    async def one(watcher: HandWatcher) -> None:
        await row(watcher, "aaaa0001aaaa0001", market_id="")

    runner.by_hand(one)
    assert runner("instances", "destroy", "x", "--yes").code == 4
    # As of a variable that is not set; the market has not named the machine yet.
    assert runner("instances", "destroy", "", "--yes").code == 4
    assert runner("instances", "destroy", "aaaa0001aaaa0001", "bbbb", "--yes").code == 4
    assert not runner("instances", "--json").document["instances"][0]["told_to_end"]


def test_a_person_is_asked_about_what_would_end(runner: JobRunner) -> None:
    """With the card and the state of each; the beginning of a name will do, where it is one machine's."""

    async def two(watcher: HandWatcher) -> None:
        await row(watcher, "aaaa0001aaaa0001", "7")
        await row(watcher, "aaaa0002aaaa0002", "8")

    runner.by_hand(two)
    outcome = runner("instances", "destroy", "aaaa0001", "8", "aaaa0001aaaa0001")
    assert outcome.code == 2
    assert "end aaaa0001aaaa0001 (RTX 4090, draining), aaaa0002aaaa0002 (RTX 4090, draining)?" in outcome.err
    assert "beginning of 2 names" in runner("instances", "destroy", "aaaa", "--yes").err
    assert runner("instances", "destroy", "aaa", "--yes").code == 4


def test_one_that_cannot_be_asked_to_end_hides_no_other(runner: JobRunner) -> None:
    """Each has its line, and the exit code is that of what is left."""

    async def two(watcher: HandWatcher) -> None:
        await row(watcher, "aaaa0001aaaa0001", "7")
        await row(watcher, "bbbb0002bbbb0002", "8")

    runner.by_hand(two)
    outcome = runner("instances", "destroy", "aaaa", "bbbb", "--yes")
    assert outcome.code == 1
    assert [line.split(":")[0] for line in outcome.out.splitlines()] == ["aaaa0001aaaa0001", "bbbb0002bbbb0002"]
    document = runner("instances", "destroy", "aaaa", "bbbb", "--yes", "--json").document
    assert misfits(SHAPES["job-runner instances destroy"], document) == []
    assert all("VAST_API_KEY" in each["why"] for each in document["rows"])


def test_a_living_watcher_is_asked(runner: JobRunner) -> None:
    """By the name of the machine or by its id at the market."""

    async def asked(watcher: HandWatcher) -> None:
        mine = await row(watcher, "aaaa0001aaaa0001", "4711")
        from job_runner.service import renting  # noqa: PLC0415 - as the command does
        from lib.settings import Settings  # noqa: PLC0415 - ditto

        beat = b'"session":"%s","slots":{}}' % watcher.session.encode()
        await sessions.renew(watcher.queue, watcher.session, name=watcher.name, life_ms=60_000, heartbeat=beat, held=())
        for name in (mine.intent, "4711"):
            document = await renting.destroy(watcher.queue, Settings.load(), name)
            assert document["outcome"] == "asked"
        assert (await instances.rows(watcher.queue)).told_to_end == {mine.intent}

    runner.by_hand(asked)


def test_the_machine_of_a_dead_watcher_is_ended_from_here(
    runner: JobRunner, fake: FakeVast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the market's key; without it, it says which setting is missing."""
    intent = "aaaa0001aaaa0001"

    async def left(watcher: HandWatcher) -> None:
        known_as = await namespace(watcher.queue)
        market_id = fake.place(f"job-runner/{known_as}/{intent}/17/9999999999", offer=101)
        await row(watcher, intent, str(market_id))

    runner.by_hand(left)
    monkeypatch.delenv("VAST_API_KEY")
    refused = runner("instances", "destroy", intent, "--yes")
    assert refused.code == 1
    assert "VAST_API_KEY" in refused.err
    monkeypatch.setenv("VAST_API_KEY", KEY)
    document = runner("instances", "destroy", intent, "--yes", "--json").document
    assert misfits(SHAPES["job-runner instances destroy"], document) == []
    assert [each["outcome"] for each in document["rows"]] == ["ended"]
    assert fake.living == []
    assert runner("instances", "list", "--json").document["instances"] == []


@pytest.mark.parametrize("program", ["job-runner", "job-watcher"])
def test_reap_ends_what_nobody_owns(runner: JobRunner, fake: FakeVast, program: str) -> None:
    """Both ways to say it do the same; a second time there is nothing to do."""
    from job_watcher.cli import main as watcher_main  # noqa: PLC0415 - the other face

    async def left(watcher: HandWatcher) -> None:
        known_as = await namespace(watcher.queue)
        fake.place(f"job-runner/{known_as}/cafe0000cafe/17/1000", offer=101)
        market_id = fake.place(f"job-runner/{known_as}/aaaa0001aaaa0001/17/9999999999", offer=103)
        await row(watcher, "aaaa0001aaaa0001", str(market_id))

    runner.by_hand(left)
    somebody = fake.place("not ours", offer=102)
    if program == "job-runner":
        document = runner("instances", "reap", "--json").document
        assert misfits(SHAPES["job-runner instances reap"], document) == []
        assert len(document["strays"]) == 1
        assert [each["reason"].partition(":")[0] for each in document["ended"]] == ["orphaned"]
        assert "nothing is rented that nobody owns" in runner("instances", "reap").err
    else:
        assert watcher_main(["reap", "--once"]) == 0
        out = runner.capture.readouterr().out
        assert "ended aaaa0001aaaa0001 of vast" in out
        assert "which nobody owned" in out
        assert watcher_main(["reap", "--once", "--quiet"]) == 0
        assert runner.capture.readouterr().out == ""
    assert [each.id for each in fake.living] == [somebody]


def test_offers_show_the_choice_and_why(runner: JobRunner, fake: FakeVast) -> None:
    """The cheapest for the batch is marked; the table fits, the document has its shape. Nothing is rented."""
    outcome = runner("offers", "--jobs", "10")
    assert outcome.code == 0, outcome.err
    rows = outcome.out.splitlines()
    # Below the table stand sentences, which a terminal breaks.
    assert max(map(len, rows[:4])) <= 80
    assert rows[1].split()[:3] == ["101", "*", "vast"]
    assert "chosen: 101" in outcome.out
    document = runner("offers", "--json").document
    assert misfits(SHAPES["job-runner offers"], document) == []
    assert [each["offer"] for each in document["offers"]] == ["101", "102", "103"]
    assert fake.asked("create") == []


def test_offers_say_what_is_in_the_way(runner: JobRunner, fake: FakeVast, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cap, too little of it, as many as may be, nothing that fits: what a watcher would not rent has a reason."""

    def notes() -> str:
        said: list[str] = runner("offers", "--json").document["notes"]
        return "; ".join(said)

    assert notes() == "BUDGET_PER_DAY_USD is not set, and nothing that costs is rented without it"
    monkeypatch.setenv("BUDGET_PER_DAY_USD", "0.1")
    assert notes().startswith("$0.10 of BUDGET_PER_DAY_USD is left, and a machine may cost $2.00")
    monkeypatch.setenv("BUDGET_PER_DAY_USD", "100")
    assert notes() == ""
    assert "note" not in runner("offers").out
    monkeypatch.setenv("VAST_QUERY", "gpu_name=RTX_5090")
    outcome = runner("offers")
    assert "nothing would be rented" in outcome.err
    assert "nothing on the market fits VAST_MAX_DPH=1, VAST_DISK=10, VAST_QUERY=gpu_name=RTX_5090" in outcome.out
    monkeypatch.delenv("VAST_QUERY")

    async def one(watcher: HandWatcher) -> None:
        await row(watcher, "aaaa0001aaaa0001")

    runner.by_hand(one)
    assert notes() == "1 rented already, and VAST_MAX_INSTANCES allows no more"
    assert fake.asked("create") == []


def test_offers_without_a_market_say_what_to_set(runner: JobRunner) -> None:
    """No key, no hosts."""
    outcome = runner("offers")
    assert outcome.code == 1
    assert "VAST_API_KEY or SSH_HOSTS" in outcome.err
