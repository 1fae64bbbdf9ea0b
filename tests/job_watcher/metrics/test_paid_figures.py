"""What a scrape says of money, quotas, the limit of jobs a minute and pauses."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.metrics.paid_figures import allowed, used
from lib.errors import PausedError
from lib.redisqueue import quota
from lib.redisqueue.spend import Spent
from tests.job_watcher.metrics.test_exposure import exposed, scraped
from tests.support.hand_clock import HandClock
from tests.support.running import settings_in
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_watcher.watching import Stand

POOL = quota.Pool("c0ffee", "flash")
OF_POOL = 'key="c0ffee",model="flash"'
NOTHING = Spent("2026-03-01", 0, 0, {})
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def document(**pool: Any) -> dict[str, Any]:
    """The parts of a `status` document that are looked at, with one pool."""
    counted = {"requests_last_min": 4, "tokens_last_min": 900, "requests_today": 40, "closed_sec": 0.0}
    return {
        "timestamp": AT.isoformat().replace("+00:00", "Z"),
        "pools": [{"key": "k", "model": "m", **counted, **pool}],
        "spend": {"today_usd": 9.0, "reserved_usd": 9.0, "budget_usd": None},
        "rate": {"cloud_moves_in_window": 2},
    }


def rows(found: dict[str, Any], name: str) -> dict[tuple[str, ...], float]:
    """The values of a family by their labels."""
    return dict(found[name])


def test_a_pool_is_told_by_key_and_model() -> None:
    """Requests of both windows, tokens of the minute; an open one is closed until 0."""
    found = used(document(), NOTHING)
    assert rows(found, "quota_requests") == {("k", "m", "minute"): 4, ("k", "m", "day"): 40}
    assert rows(found, "quota_tokens") == {("k", "m"): 900}
    assert rows(found, "quota_closed_until_timestamp_seconds") == {("k", "m"): 0}
    assert rows(found, "cloud_moves") == {(): 2}


def test_a_closed_pool_has_the_moment_at_which_it_opens() -> None:
    """A moment, not a time that is left: it stays true until the next look. By the server's clock."""
    found = used(document(closed_sec=90.4), NOTHING)
    assert rows(found, "quota_closed_until_timestamp_seconds") == {("k", "m"): round(AT.timestamp() + 90.4)}


def test_a_queue_that_never_asked_an_api_has_no_pool() -> None:
    """No line is made up; money is shown at 0, since a line needs a point to rise from."""
    found = used(document() | {"pools": []}, NOTHING)
    assert rows(found, "quota_requests") == rows(found, "quota_tokens") == {}
    assert rows(found, "spend_settled_usd") == {("cloud",): 0, ("vast",): 0}


def test_what_was_settled_is_told_by_backend() -> None:
    """Beside what is reserved, which belongs to no backend's sum yet; and their sum, out of one look at the ledger."""
    found = used(document(), Spent("2026-03-01", 2_000_000, 250_000, {"cloud": 1_000_000, "vast": 500_000}))
    assert rows(found, "spend_settled_usd") == {("cloud",): 1.0, ("vast",): 0.5, ("other",): 0.5}
    assert rows(found, "spend_reserved_usd") == {(): 0.25}
    assert rows(found, "spend_counted_usd") == {(): 2.25}


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    """A minute and a day of requests apart; a rate below 1 allows one job in its longer window."""
    given = {"GEMINI_RPM": "7", "GEMINI_RPD": "70", "GEMINI_TPM": "5000", "CLOUD_TOKENS_PER_MIN": "0.5"}
    found = allowed(settings_in(tmp_path, BUDGET_PER_DAY_USD="2.5", **given))
    assert rows(found, "quota_requests_allowed") == {("minute",): 7, ("day",): 70}
    assert rows(found, "quota_tokens_allowed") == {(): 5000}
    assert rows(found, "spend_cap_usd") == {(): 2.5}
    assert rows(found, "cloud_moves_allowed") == {(): 1}


def test_what_has_no_limit_has_no_line(tmp_path: Path) -> None:
    """A 0 would have an alert believe that the limit is passed; a budget of 0 is one, and is told."""
    found = allowed(settings_in(tmp_path, GEMINI_RPM="0", GEMINI_RPD="0", GEMINI_TPM="0"))
    for name in ("quota_requests_allowed", "quota_tokens_allowed", "spend_cap_usd"):
        assert rows(found, name) == {}
    assert rows(allowed(settings_in(tmp_path, BUDGET_PER_DAY_USD="0")), "spend_cap_usd") == {(): 0}


async def test_what_was_spent_and_who_is_closed_is_scraped(stand: Stand) -> None:
    """From the ledger and the pools of a real queue; what is settled without a backend's name is `other`."""
    day = int(time.time()) // 86_400
    keys = stand.queue.keys
    await stand.queue.client.hset(keys.of("spend"), mapping={f"{day}": 2_000_000, f"{day}|cloud": 1_750_000})
    await stand.queue.client.hset(keys.of("spend_open"), "sum", 500_000)
    await quota.close(stand.queue, POOL, 60_000, "429")
    stand.damaged("the ledger is written by hand")
    async with exposed(stand.watcher(), clock=HandClock()) as url:

        async def looked() -> dict[str, float]:
            seen = await scraped(url)
            return seen if "job_runner_watchers" in seen else {}

        seen = await wait_until(looked)
    assert seen['job_runner_spend_settled_usd{backend="cloud"}'] == 1.75
    assert seen['job_runner_spend_settled_usd{backend="other"}'] == 0.25
    assert seen["job_runner_spend_reserved_usd"] == 0.5
    assert seen["job_runner_spend_counted_usd"] == 2.5
    closed_until = seen[f"job_runner_quota_closed_until_timestamp_seconds{{{OF_POOL}}}"]
    assert closed_until == pytest.approx(time.time() + 60, abs=30)
    assert seen[f'job_runner_quota_requests{{{OF_POOL},window="day"}}'] == 0
    assert "job_runner_spend_cap_usd" not in seen


async def test_a_paused_capability_is_1_and_the_others_are_0(stand: Stand) -> None:
    """By this watcher; it is there before anything has paused."""
    watcher = stand.watcher()
    await watcher.life.open()
    offered = sorted(watcher.life.availability.backends[0].capabilities)
    async with exposed(watcher, life=watcher.life) as url:
        line = 'job_runner_capability_paused{{backend="metal",capability="{}"}}'
        before = await scraped(url)
        assert {before[line.format(each)] for each in offered} == {0}
        watcher.life.availability.pause("metal", PausedError("its server is down", capability=offered[0]))
        after = await scraped(url)
    assert {each: after[line.format(each)] for each in offered} == {each: float(each == offered[0]) for each in offered}
