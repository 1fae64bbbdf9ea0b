"""The quote on the command line: how a deadline is written, and a table that fits 80 columns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

import pytest

from job_runner.cli.quoting import deadline_of, moment_text, risk_text, usd_text
from job_runner.service.quoting import finish
from lib.errors import InvalidInputError
from lib.redisqueue import measures, quota
from lib.redisqueue.measures import Sample

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher

NOW = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
KEY = "AIza-of-a-test-0123456789"
NIGHT = "".join(
    f'- {{output_name: night/{i:03d}, speaker: Ryan, text: "{"A long line of the night. " * 40}"}}\n' for i in range(60)
)


@pytest.mark.parametrize("given", ["07:00", "7:00", " 22:01", "00:00", "21:59"])
def test_a_time_of_day_is_the_next_one(given: str) -> None:
    """On the clock of this machine, within the day to come."""
    found = deadline_of(given, NOW)
    assert found is not None
    assert timedelta(0) < found - NOW <= timedelta(hours=25)
    hour, minute = map(int, given.split(":"))
    here = found.astimezone()
    assert (here.hour, here.minute) == (hour, minute)


def test_a_moment_has_its_timezone() -> None:
    """Turned into UTC."""
    assert deadline_of("2026-03-02T07:00:00+01:00", NOW) == datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
    assert deadline_of("2026-03-02T07:00:00Z", NOW) == datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
    assert deadline_of(None, NOW) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("25:00", "is '25:00'"),
        ("soon", "is 'soon'"),
        ("2026-03-02T07:00:00", "has no timezone"),
        ("2026-02-28T07:00:00Z", "has passed already"),
        ("9999-12-31T23:59:59-23:59", "is too far away"),
        ("9999-12-31T23:59:59Z", "is too far away"),
    ],
)
def test_what_is_no_deadline(runner: JobRunner, three: str, given: str, said: str) -> None:
    """Exit code 2, with what may be written."""
    with pytest.raises(InvalidInputError, match=re.escape(said)):
        deadline_of(given, NOW)
    shown = runner("plan", three, "--deadline", given)
    assert (shown.code, shown.out) == (2, "")
    assert "hint: " in shown.err


@pytest.mark.parametrize("given", ["inf", "1e400", "Infinity"])
def test_a_budget_without_an_end_is_none(runner: JobRunner, three: str, given: str) -> None:
    """Exit code 2: who wants no cap gives none."""
    shown = runner("plan", three, "--budget", given)
    assert (shown.code, shown.out) == (2, "")
    assert "--budget: inf is no amount" in shown.err


def test_figures_are_short_and_never_certain() -> None:
    """Cents, or less where there is no cent; whole percents; a moment by its distance."""
    assert [usd_text(usd) for usd in (0, 3, 0.126, 0.0042, 0.00001)] == ["0", "3.00", "0.13", "0.0042", "<0.0001"]
    assert [risk_text(risk) for risk in (None, 0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "-",
        "0 %",
        "<1 %",
        "50 %",
        ">99 %",
        "100 %",
    ]
    here = NOW.astimezone()
    assert moment_text(NOW, NOW) == f"{here:%H:%M}"
    assert moment_text(NOW + timedelta(days=2), NOW) == f"{here + timedelta(days=2):%a %H:%M}"
    assert moment_text(NOW + timedelta(days=90), NOW) == f"{here + timedelta(days=90):%Y-%m-%d}"
    assert moment_text(finish(NOW, inf), NOW) == "never"


def test_the_table_fits_and_marks_what_to_take(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row a way with its split; the recommended one and why; how risk is meant."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    shown = runner("plan", runner.file(NIGHT), "--deadline", "07:00", "--budget", "3")
    assert shown.code == 0
    quote = shown.out[shown.out.index("WAY") :].partition("\n\n")[0]
    assert max(len(line) for line in quote.splitlines()) <= 80
    lines = quote.splitlines()
    assert lines[0].split() == ["WAY", "P50", "P90", "DONE", "P90", "USD", "P50", "USD", "P90", "RISK"]
    assert [line.split("  ")[0] for line in lines if re.match("local|cloud", line)] == [
        "local only *",
        "cloud only",
        "local + cloud",
    ]
    assert "  60 on metal" in lines
    assert "* recommended: local only: the cheapest that keeps to what was asked, at p90" in lines
    assert any(line.startswith("  risk: the chance that deadline or budget is missed (done by") for line in lines)


def test_by_the_clock_it_pays_for_what_would_be_late(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty jobs of a minute and an hour's half: some go to the cloud, by the policy that is named."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    jobs = runner.file("".join(f"- {{request_id: 'r{i}', task: sleep, payload: {{seconds: 60}}}}\n" for i in range(60)))
    deadline = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    quote = runner("plan", jobs, "--deadline", deadline, "--json").document["quote"]
    rows = {(row["way"], row["policy"]): row for row in quote["rows"]}
    assert rows["local only", None]["late"] > 25
    by_deadline = rows["local + cloud", "deadline"]
    assert by_deadline["late"] == 0
    assert 20 < by_deadline["jobs"]["metal"] < 30
    assert by_deadline["finish_at"]["p90"] <= quote["deadline"]
    alone = runner("plan", jobs, "--deadline", deadline, "--policy", "deadline", "--json").document["quote"]
    assert {row["policy"] for row in alone["rows"]} == {None, "deadline"}


def test_measurements_and_limits_come_from_redis(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds and dollars as they were, the slots of the living; without an answer what is built in."""
    jobs = runner.file(NIGHT)
    assert runner("plan", jobs, "--json").document["estimates"] == "built-in"

    async def learn(watcher: HandWatcher) -> None:
        samples = [Sample("speak", "metal", 1000, 50.0)] * 60 + [Sample("speak", "cloud", 1000, 4.0, 20_000)] * 60
        await measures.add(watcher.queue, samples)

    runner.by_hand(learn)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    document = runner("plan", jobs, "--json").document
    assert document["estimates"] == "measured"
    local, cloud = document["quote"]["rows"][:2]
    assert local["seconds"]["p50"] == pytest.approx(60 * 50 * 1.04, rel=0.1)
    assert cloud["usd"]["p50"] == pytest.approx(60 * 0.02 * 1.04, rel=0.1)
    # Two a minute, at once and then each minute: 29 windows until the last two.
    assert cloud["seconds"]["p50"] == pytest.approx(29 * 60.5 + 4, rel=0.02)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    away = runner("plan", jobs, "--json").document
    assert (away["estimates"], away["quote"]["redis"]) == ("built-in", False)


def test_jobs_in_the_queue_are_told(runner: JobRunner, three: str) -> None:
    """The quote begins with an empty queue, and says when it is not."""
    runner("enqueue", three)
    assert "note: 3 jobs in the queue already; the quote does not count them\n" in runner("plan", three).out


def test_a_plan_changes_nothing_in_redis(runner: JobRunner, three: str) -> None:
    """It only reads."""
    runner("plan", three)

    async def look(watcher: HandWatcher) -> None:
        assert await quota.pools(watcher.queue) == []
        assert not await watcher.queue.client.exists(watcher.queue.keys.of("measures"))

    runner.by_hand(look)


def test_what_no_way_helps_is_named_below_the_quote(runner: JobRunner) -> None:
    """How many, the first ids, and why; the recommended row is about the others, and says so."""
    jobs = runner.file(
        "".join(f"- {{request_id: 'old{i}', task: debug, deadline: 2001-01-01T00:00:00Z}}\n" for i in range(5))
        + "- {request_id: pin, task: debug, backend: cloud}\n- {request_id: fine, task: debug}\n"
    )
    shown = runner("plan", jobs, "--budget", "3").out
    assert "* recommended: local only: the cheapest that keeps to what was asked, at p90\n" in shown
    assert "without the 6 jobs named below, which no way helps" in " ".join(shown.split())
    assert (
        "note: 5 jobs (old0, old1, old2 and 2 more): the deadline has passed already, so every way is late\n" in shown
    )
    assert "note: 1 job (pin): no backend that is alive or set up here can run such a job" in shown
