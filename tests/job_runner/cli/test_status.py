"""`job-runner status`: the queue at a glance, as table and as document."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from lib.redisqueue import leasing, measures, quota
from lib.redisqueue.keys import GROUP
from lib.redisqueue.measures import Sample
from lib.redisqueue.overview import overview

if TYPE_CHECKING:
    import pytest

    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher


def test_an_empty_queue(runner: JobRunner) -> None:
    """Every field of the contract is there before the first job, and nothing is made up."""
    document = runner("status", "--json").document
    assert document.pop("timestamp").endswith("Z")
    assert document == {
        "schema_version": 1,
        "stream": {
            "key": f"{runner.prefix}:jobs:stream",
            "length": 0,
            "pending": 0,
            "stale_pel": 0,
            "oldest_age_sec": None,
        },
        "lanes": {},
        "backlogs": {"default": {"waiting": 0, "high": 0, "normal": 0, "low": 0}},
        "retry_queue_size": 0,
        "outbox": {"publish": 0, "callback": 0},
        "lock": {"owner": None, "ttl_ms": None, "dedicated": False, "backlogs": []},
        "instances": [],
        "watchers": [],
        "totals": {
            "submitted": 0,
            "queued": 0,
            "leased": 0,
            "delayed": 0,
            "done": 0,
            "failed": 0,
            "cancelled": 0,
            "outstanding": 0,
        },
        "rate": {
            "jobs_per_min": 0.0,
            "cloud_moves_last_min": 0,
            "cloud_moves_in_window": 0,
            "cloud_window_sec": 60.5,
            "cloud_per_min": 2.0,
        },
        "by_capability": {},
        "eta_sec": 0,
        "eta": None,
        "pools": [],
        "spend": {"today_usd": 0.0, "reserved_usd": 0.0, "budget_usd": None},
    }


def test_looking_writes_nothing(runner: JobRunner, three: str) -> None:
    """Neither status nor result nor history leaves a key behind."""
    runner("status")
    runner("result", "nobody")
    runner("history")
    runner("report", three)

    async def keys(watcher: HandWatcher) -> list[bytes]:
        own = {"sessions", "heartbeat", "wake", "lanes", "sweep"}
        found: Any = await watcher.queue.client.keys(f"{runner.prefix}:*")
        return [key for key in found if not any(name in key.decode() for name in own) and b":lane:" not in key]

    assert runner.by_hand(keys) == []


def test_the_table_with_jobs_waiting(runner: JobRunner, three: str) -> None:
    """Waiting jobs and no watcher: the figures on stdout, the next step on stderr."""
    runner("enqueue", three)
    shown = runner("status")
    assert shown.code == 0
    assert re.sub(r"oldest       \S+ s", "oldest       <age>", shown.out) == (
        f"Server: {runner.url} (from REDIS_URL)\n"
        "\n"
        "Jobs\n"
        "  outstanding  3  (queued 3, leased 0, delayed 0)\n"
        "  finished     0 done, 0 failed, 0 cancelled\n"
        "  accepted     3 since the counter began\n"
        "  oldest       <age>\n"
        "  stale        0\n"
        "  rate         0 jobs/min, ETA -\n"
        "\n"
        "BACKLOG  WAITING  HIGH  NORMAL  LOW\n"
        "default        3     0       3    0\n"
        "\n"
        "No watcher is alive.\n"
    )
    assert shown.err == "next: 3 jobs outstanding and no watcher alive; start one with `job-watcher`\n"


def test_a_watcher_at_work(runner: JobRunner, three: str) -> None:
    """Leases, lanes, the leader and its heartbeat; after the work, rate and ETA."""
    runner("enqueue", three)

    async def work(watcher: HandWatcher) -> tuple[dict[str, Any], ...]:
        leases = await watcher.lease(1)
        during = await _status(watcher)
        for lease in leases:
            await watcher.done(lease)
        return during, await _status(watcher)

    during, after = runner.by_hand(work)
    totals = during["totals"]
    assert totals["leased"] + totals["queued"] == 3
    assert totals["leased"] >= 1
    assert during["lanes"]["lane:metal:any"] == {
        "backend": "metal",
        "capability": "any",
        "length": 1,
        "waiting": 0,
        "running": 1,
    }
    assert during["lock"]["owner"] == "hand:run1"
    assert 0 < during["lock"]["ttl_ms"] <= 20_000
    (watcher,) = during["watchers"]
    assert watcher["last_seen"].endswith("Z")
    assert {name: watcher[name] for name in ("name", "alive", "slots", "capabilities", "running")} == {
        "name": "hand",
        "alive": True,
        "slots": {"metal": 1},
        "capabilities": ["speech", "speaker", "any"],
        "running": 1,
    }
    done = after["totals"]["done"]
    assert (after["rate"]["jobs_per_min"], after["rate"]["cloud_per_min"]) == (float(done), None)
    assert after["eta_sec"] == round((3 - done) * 60 / done)


async def _status(watcher: HandWatcher) -> dict[str, Any]:
    return await overview(watcher.queue, lease_idle_ms=180_000)


def test_the_table_with_a_watcher(runner: JobRunner, three: str) -> None:
    """Lanes, who leads and how busy each is."""
    runner("enqueue", three)

    async def look(watcher: HandWatcher) -> str:
        await watcher.lease(1)
        return (await asyncio.to_thread(runner, "status")).settled

    shown = re.sub(r"\d+\.\d s ago", "<time> ago", runner.by_hand(look))
    assert shown.partition("LANE")[2] == (
        "           WAITING  RUNNING\n"
        "metal any            0        1\n"
        "metal speaker        0        0\n"
        "metal speech         2        0\n"
        "\n"
        "WATCHER  STATE  ROLE    BUSY  LAST SEEN\n"
        "hand     alive  leader   1/1  <time> ago\n"
    )


def test_a_strangers_pending_entry_is_stale_after_a_while(runner: JobRunner, three: str) -> None:
    """A consumer that is no session of ours counts as stale from WATCHER_LEASE_IDLE_MS on, not before."""
    runner("enqueue", three)

    async def steal(watcher: HandWatcher) -> None:
        await watcher.move_all()
        key = watcher.queue.keys.stream("lane:metal:any")
        await watcher.queue.client.xreadgroup(GROUP, "stranger", {key: ">"}, count=1)
        (entry,) = await watcher.queue.client.xpending_range(key, GROUP, "-", "+", 1)
        await watcher.queue.client.xclaim(key, GROUP, "stranger", 0, [entry["message_id"]], idle=200_000)

    runner.by_hand(steal)
    assert runner("status", "--json").document["stream"]["stale_pel"] == 1


def test_a_lapsed_sessions_leases_are_stale_at_once(runner: JobRunner, three: str) -> None:
    """What a session held that is over counts as stale without any idle time."""
    runner("enqueue", three)

    async def vanish(watcher: HandWatcher) -> None:
        leases = await watcher.lease()
        assert len(leases) == 3
        assert await leasing.pending_entries(watcher.queue, watcher.session, ["lane:metal:any"])

    runner.by_hand(vanish)  # its session is closed on the way out
    stream = runner("status", "--json").document["stream"]
    assert (stream["pending"], stream["stale_pel"]) == (3, 3)


def test_redis_down(runner: JobRunner) -> None:
    """Exit code 3 and no half document."""
    refused = runner("status", "--json", "--redis-url", "redis://127.0.0.1:1/0")
    assert (refused.code, refused.out) == (3, "")
    assert "job-runner server start" in refused.err


def test_not_a_redis_url(runner: JobRunner) -> None:
    """A bad URL is bad input: exit code 2, and how to write one."""
    refused = runner("status", "--redis-url", "http://somewhere")
    assert refused.code == 2
    assert "redis://HOST:PORT/DB" in refused.err


def test_what_is_paid_for(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger of the day against the budget, the moves of the last minute, and which API grants nothing now."""
    monkeypatch.setenv("BUDGET_PER_DAY_USD", "0.5")

    async def spend_some(watcher: HandWatcher) -> None:
        queue = watcher.queue
        seconds, micros = await queue.client.time()
        now_ms = seconds * 1000 + micros // 1000
        await queue.client.hset(queue.keys.of("spend"), mapping={f"{seconds // 86_400}": 420_000})
        await queue.client.hset(queue.keys.of("spend_open"), "sum", 90_000)
        await queue.client.zadd(queue.keys.of("moves"), {"a": now_ms, "b": now_ms - 30_000, "c": now_ms - 70_000})
        await quota.close(queue, quota.Pool("abc", "gemini-2.5-flash"), 60_000, "429 per minute")

    runner.by_hand(spend_some)
    document = runner("status", "--json").document
    assert document["spend"] == {"today_usd": 0.42, "reserved_usd": 0.09, "budget_usd": 0.5}
    assert (document["rate"]["cloud_moves_last_min"], document["rate"]["cloud_moves_in_window"]) == (2, 2)
    monkeypatch.setenv("CLOUD_TOKENS_PER_MIN", "0.5")
    rate = runner("status", "--json").document["rate"]
    assert (rate["cloud_moves_last_min"], rate["cloud_moves_in_window"], rate["cloud_window_sec"]) == (2, 3, 120.5)
    monkeypatch.delenv("CLOUD_TOKENS_PER_MIN")
    (pool,) = document["pools"]
    assert 50 < pool["closed_sec"] <= 60
    assert pool["closes_model"]
    assert (pool["key"], pool["model"], pool["why"]) == ("abc", "gemini-2.5-flash", "429 per minute")
    monkeypatch.setenv("CLOUD_TOKENS_PER_MIN", "0.5")
    assert "\n  cloud        3 jobs in the last 120 s, 1 allowed\n" in runner("status").out
    monkeypatch.delenv("CLOUD_TOKENS_PER_MIN")
    shown = runner("status").out
    assert "\n  spent today  $0.4200 of $0.50, $0.0900 more reserved: the budget is reached\n" in shown
    assert "\n  cloud        2 jobs in the last minute, 2 a minute allowed\n" in shown
    assert re.search(r"\n  api          gemini-2.5-flash is closed for (\d\d\.\d s|1:00): 429 per minute\n", shown)


def test_an_eta_of_what_was_measured(runner: JobRunner, three: str) -> None:
    """Before the first job of a new batch has ended, if such jobs were seen before and somebody works."""
    runner("enqueue", three)

    async def look(watcher: HandWatcher) -> tuple[str, dict[str, Any]]:
        await measures.add(watcher.queue, [Sample(task, "metal", 4.0, 10.0) for task in ("speak", "sleep")] * 50)
        shown = (await asyncio.to_thread(runner, "status")).out
        return shown, (await asyncio.to_thread(runner, "status", "--json")).document

    shown, document = runner.by_hand(look)
    assert document["by_capability"] == {"any": 1, "speech": 2}
    assert document["eta"]["p90_sec"] >= document["eta"]["p50_sec"] > 20
    assert re.search(r"rate         0 jobs/min, ETA [\d.: s]+ \(p90 ", shown)
    assert runner("status", "--json").document["eta"] is None, "nobody is alive any more"
