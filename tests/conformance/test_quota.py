"""Quotas of paid APIs: who may call now, who waits and how long, on each server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.errors import PermanentError
from lib.pacific import day_around
from lib.redisqueue import quota
from lib.redisqueue.quota import WINDOW_MS, Allowance, Granted, Pool, Settlement
from tests.conformance.paying import FLASH, Paying
from tests.conformance.stage import Stage, ending

LITE = Pool("k1", "gemini-lite")
OTHER_KEY = Pool("k2", "gemini-flash")


async def payer(stage: Stage, *request_ids: str) -> Paying:
    """A watcher with jobs on the cloud."""
    paying = Paying(stage)
    for request_id in request_ids or ("a",):
        await paying.job(request_id)
    return paying


async def test_requests_of_a_minute(stage: Stage) -> None:
    """So many at once, then none until the oldest has left the window, and the wait says when that is."""
    paying, two = await payer(stage), Allowance(rpm=2)
    await paying.grant(allowance=two)
    await paying.pass_ms(20_000)
    await paying.grant(allowance=two)
    refused = await paying.take(allowance=two)
    assert refused.reason == "rpm"
    assert WINDOW_MS - 25_000 < refused.wait_ms <= WINDOW_MS - 20_000
    await paying.pass_ms(refused.wait_ms)
    await paying.grant(allowance=two)
    assert (await paying.take(allowance=two)).reason == "rpm"


async def test_tokens_of_a_minute(stage: Stage) -> None:
    """The wait is until enough of the oldest have left for this call's own size."""
    paying, allowance = await payer(stage), Allowance(tpm=1000)
    for _ in range(3):
        await paying.grant(allowance=allowance, tokens=300)
        await paying.pass_ms(10_000)
    await paying.grant(allowance=allowance, tokens=100)
    small = await paying.take(allowance=allowance, tokens=300)
    large = await paying.take(allowance=allowance, tokens=900)
    assert (small.reason, large.reason) == ("tpm", "tpm")
    assert WINDOW_MS - 35_000 < small.wait_ms <= WINDOW_MS - 30_000
    assert WINDOW_MS - 15_000 < large.wait_ms <= WINDOW_MS - 10_000


async def test_a_call_that_no_minute_can_hold_is_refused_for_good(stage: Stage) -> None:
    """Nobody waits for ever; the message names both numbers and the setting."""
    paying = await payer(stage)
    with pytest.raises(PermanentError, match="may take 1001 tokens, more than the 1000") as caught:
        await paying.take(allowance=Allowance(tpm=1000), tokens=1001)
    assert "GEMINI_TPM" in (caught.value.hint or "")
    with pytest.raises(PermanentError, match="more than the 500 of what is not kept for high priority"):
        await paying.take(allowance=Allowance(tpm=1000, high_share=0.5), tokens=501)
    assert (await paying.take(allowance=Allowance(tpm=1000, high_share=0.5), tokens=501, high=True)).reason is None


async def test_settling_puts_the_tokens_right_inside_their_window(stage: Stage) -> None:
    """Estimated high before, known after: what was not used is free at once, what was more counts."""
    paying, allowance = await payer(stage), Allowance(tpm=1000)
    first = await paying.grant(allowance=allowance, tokens=900)
    assert (await paying.take(allowance=allowance, tokens=200)).reason == "tpm"
    assert await quota.settle(stage.queue, first, 300, 5)
    assert not await quota.settle(stage.queue, first, 300, 5), "a word said twice counts once"
    second = await paying.grant(allowance=allowance, tokens=700)
    assert await quota.settle(stage.queue, second, 800, 5)
    (view,) = await quota.pools(stage.queue)
    assert (view.requests, view.tokens, view.today) == (2, 1100, 2)
    await paying.pass_ms(WINDOW_MS)
    await paying.grant(allowance=allowance, tokens=1000)
    (view,) = await quota.pools(stage.queue)
    assert (view.requests, view.tokens, view.today) == (1, 1000, 3)


async def test_what_settles_after_its_window_changes_no_sum(stage: Stage) -> None:
    """A call may take minutes; its tokens have left the window before it ends."""
    paying, allowance = await payer(stage), Allowance(tpm=1000)
    slow = await paying.grant(allowance=allowance, tokens=1000)
    await paying.pass_ms(WINDOW_MS)
    await paying.grant(allowance=allowance, tokens=400)
    assert await quota.settle(stage.queue, slow, 10, 5)
    assert (await paying.take(allowance=allowance, tokens=601)).reason == "tpm"
    await paying.grant(allowance=allowance, tokens=600)
    assert await paying.money() == (5, 20)


async def test_what_was_never_sent_is_given_back_whole(stage: Stage) -> None:
    """Request, tokens, the day's request and the money."""
    paying, one = await payer(stage), Allowance(rpm=1, tpm=100, rpd=1)
    unsent = await paying.grant(allowance=one)
    assert await quota.release(stage.queue, unsent)
    assert not await quota.release(stage.queue, unsent)
    assert await paying.money() == (0, 0)
    await paying.grant(allowance=one)


async def test_requests_of_a_day_begin_anew_at_midnight_in_los_angeles(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's clock: a caller whose calendar is another day's is told the time, and asks again."""
    paying, three = await payer(stage), Allowance(rpd=3)
    for _ in range(3):
        await paying.grant(allowance=three)
    refused = await paying.take(allowance=three)
    _, end = day_around(await stage.now_ms())
    assert refused.reason == "rpd"
    assert abs(refused.wait_ms - (end - await stage.now_ms())) < 5_000
    (view,) = await quota.pools(stage.queue)
    assert (0 < view.closed_ms <= 300_000, view.why[:4]) == (True, "day:"), "the conductor leaves it alone for a while"
    asked: list[int] = []

    def yesterday_first(now_ms: int) -> tuple[int, int]:
        asked.append(now_ms)
        return day_around(now_ms - 86_400_000 if len(asked) == 1 else now_ms)

    monkeypatch.setattr(quota, "day_around", yesterday_first)
    assert (await paying.take(allowance=three)).reason == "rpd"
    assert len(asked) == 2
    # It was another day when those three were granted.
    await stage.queue.client.hset(stage.queue.keys.of("quota"), f"day {FLASH}", "1000|3|3")
    await paying.grant(allowance=three)
    (view,) = await quota.pools(stage.queue)
    assert (view.today, view.closed_ms) == (1, 0)


async def test_nothing_is_granted_in_the_last_second_of_a_day(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would arrive in the next one, where nobody has counted it."""
    paying = await payer(stage)
    now = await stage.now_ms()
    monkeypatch.setattr(quota, "day_around", lambda _: (now - 1000, now + 900))
    assert (await paying.take(allowance=Allowance(rpd=5))).reason == "rpd"
    await paying.grant(allowance=Allowance(rpm=5))


async def test_a_429_closes_exactly_that_key_and_model(stage: Stage) -> None:
    """For everybody, until the time it named; a shorter word later opens nothing."""
    paying = await payer(stage)
    await quota.close(stage.queue, FLASH, 17_000, "quota of a minute")
    await quota.close(stage.queue, FLASH, 5_000, "another")
    refused = await paying.take()
    assert refused.reason == "closed"
    assert 15_000 < refused.wait_ms <= 17_000
    await paying.grant(pool=LITE)
    await paying.grant(pool=OTHER_KEY)
    closed = {view.pool: (view.closed_ms > 0, view.why) for view in await quota.pools(stage.queue)}
    assert closed == {FLASH: (True, "quota of a minute"), LITE: (False, ""), OTHER_KEY: (False, "")}
    await paying.pass_ms(refused.wait_ms)
    await paying.grant()


async def test_only_who_holds_the_lease_may_call(stage: Stage) -> None:
    """Promise 4: session and fence are looked at in the step that grants."""
    paying = await payer(stage, "a", "b", "c")
    assert (await paying.take(fence="1")).reason == "lease"
    assert (await paying.take(session="other:1")).reason == "lease"
    foreign = replace(paying.call("a"), request_id="b")
    assert (await quota.take(stage.queue, foreign)).reason == "lease"
    assert await stage.cancel("b") == "cancelled"
    assert await paying.take("b") == Granted(0, "lease")
    await stage.kill(paying.session)
    assert (await paying.take("c")).reason == "lease"
    assert await paying.money() == (0, 0)
    assert await quota.pools(stage.queue) == []


async def test_a_grant_whose_answer_was_lost_is_granted_again_and_counted_once(stage: Stage) -> None:
    """The same call may ask as often as it likes."""
    paying, one = await payer(stage), Allowance(rpm=1)
    call = paying.call(allowance=one)
    for _ in range(3):
        assert (await quota.take(stage.queue, call)).reason is None
    (view,) = await quota.pools(stage.queue)
    assert (view.requests, view.tokens) == (1, 100)
    assert await paying.money() == (0, 10)


async def test_a_share_is_kept_for_high_priority(stage: Stage) -> None:
    """Others stop before it, also where high ones have used more than that; high ones stop at the whole."""
    paying, allowance = await payer(stage), Allowance(rpm=10, rpd=1000, high_share=0.3)
    for _ in range(7):
        await paying.grant(allowance=allowance)
    assert (await paying.take(allowance=allowance)).reason == "rpm"
    for _ in range(3):
        await paying.grant(allowance=allowance, high=True)
    assert (await paying.take(allowance=allowance, high=True)).reason == "rpm"
    await paying.pass_ms(WINDOW_MS)
    for _ in range(5):
        await paying.grant(allowance=allowance, high=True)
    for _ in range(5):
        await paying.grant(allowance=allowance)
    assert (await paying.take(allowance=allowance)).reason == "rpm"


async def test_who_has_waited_long_comes_next(stage: Stage) -> None:
    """Small calls that come and go leave a large one its room; when it has given up they have it again."""
    paying, allowance = await payer(stage, "large", "small"), Allowance(tpm=1000)
    for _ in range(4):
        await paying.grant("small", allowance=allowance, tokens=200)
        await paying.pass_ms(10_000)
    waiting = await paying.take("large", allowance=allowance, tokens=900, waited_ms=quota.LONG_WAIT_MS)
    assert waiting.reason == "tpm"
    blocked = await paying.take("small", allowance=allowance, tokens=200)
    assert blocked.reason == "tpm"
    await paying.grant("small", allowance=allowance, tokens=200, high=True)
    assert (await paying.take("small", pool=LITE, allowance=allowance, tokens=200)).reason is None
    again = await paying.take("large", allowance=allowance, tokens=900, waited_ms=quota.LONG_WAIT_MS)
    await paying.pass_ms(again.wait_ms)
    assert (await paying.take("small", allowance=allowance, tokens=200)).reason == "tpm"
    await paying.grant("large", allowance=allowance, tokens=900, waited_ms=quota.LONG_WAIT_MS)
    await paying.grant("small", allowance=allowance, tokens=100)
    await paying.take("large", allowance=allowance, tokens=900, waited_ms=quota.LONG_WAIT_MS)
    await paying.pass_ms(WINDOW_MS + 3_000)
    await paying.grant("small", allowance=allowance, tokens=200)


async def test_another_server_grants_nothing_for_a_window(real_stage: Stage) -> None:
    """Restarted, or a replica that took over: what it granted last may be lost."""
    stage = real_stage
    paying = await payer(stage)
    await paying.grant()
    await stage.queue.client.hset(stage.queue.keys.of("quota"), "run", "0" * 40)
    quiet = await paying.take()
    assert quiet.reason == "quiet"
    assert WINDOW_MS - 5_000 < quiet.wait_ms <= WINDOW_MS
    assert (await paying.take(pool=LITE)).reason == "quiet"
    assert (await quota.pools(stage.queue))[0].quiet_ms > 0
    await paying.pass_ms(quiet.wait_ms)
    await paying.grant()
    await paying.grant(pool=LITE)


async def test_a_clock_that_stepped_back_closes_nothing_for_long(stage: Stage) -> None:
    """What was granted "later" was granted now: a window later there is room."""
    paying, one = await payer(stage), Allowance(rpm=1)
    await paying.grant(allowance=one)
    await paying.pass_ms(-3_600_000)
    refused = await paying.take(allowance=one)
    assert (refused.reason, refused.wait_ms) == ("rpm", WINDOW_MS)
    await paying.pass_ms(WINDOW_MS)
    await paying.grant(allowance=one)


async def test_old_calls_leave_nothing_behind(stage: Stage) -> None:
    """More than a batch of them go in one step, and the job's end takes the rest."""
    paying = await payer(stage)
    calls = [await paying.grant() for _ in range(510 if stage.server != "fakeredis" else 40)]
    assert all(await quota.settle_all(stage.queue, [Settlement(call, 1, 1) for call in calls]))
    await paying.pass_ms(WINDOW_MS)
    last = await paying.grant()
    client, key = stage.queue.client, stage.queue.keys.of
    assert await client.zcard(key("quota_grants")) == await client.hlen(key("quota_calls")) == 1
    await quota.settle(stage.queue, last, 1, 1)
    await stage.finish(paying.session, ending(paying.leases["a"]))
    assert await paying.money() == (paying.calls, 0)
    assert await paying.open() == {}


async def test_a_closing_that_is_no_time_closes_nothing(stage: Stage) -> None:
    """Somebody wrote it by hand: calls go on."""
    paying = await payer(stage)
    client, key = stage.queue.client, stage.queue.keys.of("quota")
    await client.hset(key, mapping={f"closed {FLASH}": "soon", "quiet": "later"})
    await paying.grant()
