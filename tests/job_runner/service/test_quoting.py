"""The quote of a plan: jobs counted in groups, by what the settings and the queue know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from job_runner.service.compute import backends, offers
from job_runner.service.known import Known
from job_runner.service.quoting import GROUPS_MOST, NO_CAP, Asked, Quoting, document
from lib.jobqueue import BUILT_IN, JobSpec, normalize_job_spec
from lib.redisqueue.measures import Measured
from lib.routing.estimates import Estimates
from lib.settings import Settings
from lib.wiring import cloud_price

NOW = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
KEY = "AIza-of-a-test-0123456789"


def settings(**values: str) -> Settings:
    """Settings of nothing but these."""
    return Settings.load({"HOME": "/tmp", **values})  # noqa: S108 - nothing is written


def quoting(made: Settings, known: Known | None = None) -> Quoting:
    """A counter of jobs under these settings."""
    known = known or Known()
    return Quoting(made, BUILT_IN, known, Estimates(known.measured, cloud_price(made)), NOW)


def job(name: str = "a", **fields: Any) -> JobSpec:
    """One job."""
    return normalize_job_spec({"request_id": name, "task": "debug", **fields})


def watcher(**more: Any) -> dict[str, Any]:
    """A living watcher as the status has it."""
    return {"alive": True, "slots": {"metal": 2, "cloud": 5}, "capabilities": ["any", "speech", "text_model"], **more}


def test_where_jobs_may_run() -> None:
    """What is set up here, and what living watchers offer; a pin is a pin."""
    assert quoting(settings()).count(job())[0] == ("metal",)
    assert quoting(settings(GEMINI_API_KEY=KEY)).count(job())[0] == ("metal", "cloud")
    assert quoting(settings(GEMINI_API_KEY=KEY)).count(job(backend="cloud"))[0] == ("cloud",)
    there = Known(answered=True, document={"watchers": [watcher(offers={"cloud": ["any"]})]})
    assert quoting(settings(), there).count(job())[0] == ("metal", "cloud")
    gone = Known(answered=True, document={"watchers": [watcher(alive=False)]})
    assert quoting(settings(), gone).count(job())[0] == ("metal",)
    assert quoting(settings()).count(job(backend="vast"))[0] == ("vast",)
    here = quoting(settings(GEMINI_API_KEY=KEY))
    by_voice = normalize_job_spec({"request_id": "a", "voice": "newsroom", "text": "Hello"})
    by_speaker = normalize_job_spec({"request_id": "a", "speaker": "Ryan", "text": "Hello"})
    assert here.count(by_voice)[0] == ("metal",), "a voice of one's own is not to be had there"
    assert here.count(by_speaker)[0] == ("metal", "cloud")


def test_offers_name_no_more_than_what_is_set_up() -> None:
    """A text model needs its name, the cloud its key, and speech there a model for it."""
    assert offers(settings(), Known()) == {"metal": {"any", "speech", "speaker"}}
    assert "text_model" in offers(settings(OLLAMA_MODEL="llama3.2"), Known())["metal"]
    assert offers(settings(GEMINI_API_KEY=KEY), Known())["cloud"] == {"any", "text_model", "speaker"}
    assert offers(settings(GEMINI_API_KEY=KEY, GEMINI_SPEECH_MODEL="none"), Known())["cloud"] == {"any", "text_model"}
    old = Known(answered=True, document={"watchers": [watcher()]})
    assert offers(settings(), old)["cloud"] == {"any", "speech", "text_model"}


def spoken(made: Settings, count: int = 500) -> dict[str, Any]:
    """The document of so many speech jobs, by way."""
    counter = quoting(made)
    for i in range(count):
        counter.count(normalize_job_spec({"request_id": f"a{i}", "voice": "newsroom", "text": "word " * 400}))
    asked = Asked()
    found = document(counter.quote(asked, NOW), asked, NOW, counter.known)
    return {row["way"]: row for row in found["rows"]}


def test_rented_machines_are_quoted_where_they_may_be_rented() -> None:
    """With a key and a budget; hosts of one's own cost nothing; what is no speech is never quoted there."""
    vast = {"VAST_API_KEY": "vast-of-a-test-0123456789", "VAST_MAX_DPH": "0.5"}
    assert set(spoken(settings(**vast))) == {"local only"}, "nothing is rented without a budget"
    rows = spoken(settings(**vast, BUDGET_PER_DAY_USD="3"))
    assert "local + rented" in rows
    assert 0 < rows["local + rented"]["usd"]["p50"] < 0.5
    assert rows["local + rented"]["seconds"]["p50"] < rows["local only"]["seconds"]["p50"]
    own = spoken(settings(SSH_HOSTS="a,b"))
    assert own["local + rented"]["usd"]["p50"] == 0
    rents = quoting(settings(**vast))
    by_voice = normalize_job_spec({"request_id": "a", "voice": "newsroom", "text": "Hello"})
    assert rents.count(by_voice)[0] == ("metal", "vast")
    assert rents.count(job())[0] == ("metal",)


def test_own_hosts_are_quoted_beside_rented_ones() -> None:
    """They cost nothing and begin first; what is ready begins at once, what would have to be rented later."""
    vast = {"VAST_API_KEY": "vast-of-a-test-0123456789", "BUDGET_PER_DAY_USD": "9", "VAST_MAX_INSTANCES": "2"}
    both = settings(**vast, SSH_HOSTS="a,b")
    ready = {"damaged": False, "owner_alive": True, "state": "draining", "market": "vast"}
    there = Known(answered=True, document={"instances": [ready, ready | {"state": "loading"}]})
    assert backends(both, Known(), NOW)["vast"].begins == (15.0, 15.0, 240.0, 240.0)
    found = backends(both, there, NOW)["vast"]
    assert (found.begins, found.slots, found.own) == ((0.0, 15.0, 15.0, 240.0), 4, 2)
    assert backends(settings(SSH_HOSTS="a,b"), there, NOW)["vast"].hourly == 0.0
    rented, beside = spoken(settings(**vast)), spoken(both)
    assert beside["local + rented"]["seconds"]["p50"] < rented["local + rented"]["seconds"]["p50"]
    assert 0 < beside["local + rented"]["usd"]["p50"] < rented["local + rented"]["usd"]["p50"]
    few = spoken(both, count=3)
    assert few["rented only"]["usd"]["p50"] == 0, "they fit on hosts of one's own"


def test_without_a_cap_it_says_why_no_machine_is_quoted() -> None:
    """Once, however many jobs; not where a cap is set, no market is, or no job could run on such a machine."""
    vast = {"VAST_API_KEY": "vast-of-a-test-0123456789"}
    for values, told in (
        (vast, (NO_CAP,)),
        (vast | {"SSH_HOSTS": "a"}, (NO_CAP,)),
        (vast | {"BUDGET_PER_DAY_USD": "3"}, ()),
        ({"SSH_HOSTS": "a"}, ()),
        ({}, ()),
    ):
        counter = quoting(settings(**values))
        counter.count(job())
        assert counter.notes == ()
        for name in ("a", "b"):
            counter.count(normalize_job_spec({"request_id": name, "voice": "newsroom", "text": "Hello"}))
        assert counter.notes == told, values


def test_slots_and_what_is_left_of_the_limits() -> None:
    """Of the living watchers, else of the settings; the window and the day as they stand."""
    made = settings(BUDGET_PER_DAY_USD="3", GEMINI_RPM="7", GEMINI_TPM="0", GEMINI_RPD="100", METAL_CONCURRENCY="4")
    alone = backends(made, Known(), NOW)
    assert (alone["metal"].slots, alone["cloud"].slots) == (4, 10)
    known = Known(
        answered=True,
        document={
            "watchers": [watcher(), watcher()],
            "rate": {"cloud_moves_in_window": 2},
            "spend": {"today_usd": 1.0, "reserved_usd": 0.5},
            "pools": [{"requests_last_min": 3, "tokens_last_min": 9, "requests_today": 40}],
        },
    )
    found = backends(made, known, NOW)
    assert (found["metal"].slots, found["cloud"].slots) == (4, 10)
    left = [(each.kind, each.left, each.first) for each in found["cloud"].rations]
    assert left == [("jobs", 0, 60.5), ("requests", 4, 60), ("requests", 60, 36_000), ("usd", 1.5, 7200)]


def test_measurements_win_over_what_is_built_in() -> None:
    """Seconds and dollars of the job, and the source that the document names."""
    known = Known(answered=True, measured={("debug", "metal", 0): Measured(30, 7.0, 8.0, 7.0, 0, 0)})
    counted = quoting(settings(), known)
    assert counted.count(job())[1] == 7.0
    found = counted.quote(Asked(), NOW)
    assert found.rows[0].seconds[0] == pytest.approx(7.0)
    assert counted.estimates.source == "measured"
    said = document(found, Asked(), NOW, known)
    assert (said["redis"], said["recommended"]) == (True, "local only")
    assert said["rows"][0]["finish_at"]["p50"] == "2026-03-01T22:00:07.000Z"


def test_the_document_of_what_never_ends() -> None:
    """A cloud without any money: no time, no moment, and a risk of one."""
    made = settings(GEMINI_API_KEY=KEY, BUDGET_PER_DAY_USD="0")
    counted = quoting(made)
    counted.count(normalize_job_spec({"request_id": "a", "speaker": "Ryan", "text": "Hello", "backend": "cloud"}))
    asked = Asked(deadline=NOW + timedelta(hours=1))
    (row,) = document(counted.quote(asked, NOW), asked, NOW, Known())["rows"]
    assert (row["seconds"]["p50"], row["finish_at"]["p50"], row["risk"]) == (None, None, 1.0)
    assert not row["fits"]


def test_a_jobs_own_deadline_counts() -> None:
    """Beside the one that was asked for, the nearer."""
    counted = quoting(settings())
    for name in "ab":
        counted.count(job(name, task="sleep", payload={"seconds": 50}, deadline="2026-03-01T22:01:00Z"))
    counted.count(job("c"))
    (row,) = counted.quote(Asked(), NOW).rows
    assert row.deadline_risk == pytest.approx(1.0)
    assert row.late == 1


def test_jobs_that_nothing_helps_are_named_among_any_number_of_others() -> None:
    """The first ids of each reason, counted one by one, however many deadlines are reckoned together."""
    counted = quoting(settings())
    for i in range(5):
        counted.count(job(f"old{i}", deadline=f"2026-03-01T21:59:5{i}Z"))
    counted.count(job("soon", task="sleep", payload={"seconds": 100}, deadline="2026-03-01T22:01:00Z"))
    counted.count(job("odd", deadline="2026-03-01T23:00:00Z", run_after="2026-03-02T23:00:00Z"))
    for i in range(300):
        moment = NOW + timedelta(hours=2, seconds=i * 3600)
        counted.count(job(str(i), task="sleep", payload={"seconds": 1}, deadline=moment.isoformat()))
    counted.count(job("pin", backend="cloud"))
    found = counted.quote(Asked(), NOW)
    assert {each.why: (each.jobs, each.first) for each in found.aside} == {
        "past": (5, ("old0", "old1", "old2")),
        "near": (1, ("soon",)),
        "not_before": (1, ("odd",)),
        "nowhere": (1, ("pin",)),
    }
    assert found.rows[0].fits
    said = document(found, Asked(), NOW, Known())["aside"]
    assert {each["why"]: each["first"] for each in said}["past"] == ["old0", "old1", "old2"]


def test_the_budget_is_what_the_day_has_left() -> None:
    """Unless one was named."""
    made = settings(GEMINI_API_KEY=KEY, BUDGET_PER_DAY_USD="3")
    known = Known(answered=True, document={"spend": {"today_usd": 2.9999999, "reserved_usd": 0}})
    counted = quoting(made, known)
    counted.count(normalize_job_spec({"request_id": "a", "speaker": "Ryan", "text": "x" * 100, "backend": "cloud"}))
    assert not counted.quote(Asked(), NOW).rows[0].keeps_budget
    assert counted.quote(Asked(budget_usd=1), NOW).rows[0].keeps_budget


def test_what_is_reserved_is_not_left() -> None:
    """For jobs and calls under way: another plan cannot spend it too."""
    made = settings(GEMINI_API_KEY=KEY, BUDGET_PER_DAY_USD="3")
    known = Known(answered=True, document={"spend": {"today_usd": 1.0, "reserved_usd": 1.9999999}})
    counted = quoting(made, known)
    counted.count(normalize_job_spec({"request_id": "a", "speaker": "Ryan", "text": "x" * 100, "backend": "cloud"}))
    assert not counted.quote(Asked(), NOW).rows[0].keeps_budget


@example([number * 7919 for number in range(600)])
@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=200))
def test_any_number_of_deadlines_is_a_bounded_number_of_groups(offsets: list[int]) -> None:
    """None is lost, and none becomes later than it is."""
    counted = quoting(settings())
    moments = [NOW + timedelta(seconds=offset) for offset in offsets]
    for number, moment in enumerate(moments):
        counted.count(job(str(number), deadline=moment.isoformat()))
    groups = counted._groups
    assert len(groups) <= GROUPS_MOST
    assert sum(group.count for group in groups.values()) == len(offsets)
    assert min(group.deadline or 0 for group in groups.values()) == min(moments).timestamp()
