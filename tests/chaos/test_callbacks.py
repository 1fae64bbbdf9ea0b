"""Watchers that die before they tell: another does, at least once, signed, and only where it may."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue import normalize_job_spec
from lib.redisqueue import producing
from lib.redisqueue.submissions import submission_of
from tests.chaos.yard import CATALOGUE, RECOVERY_SECONDS
from tests.job_watcher.callbacks.receiving import SECRET, Receiver, receiving
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos


def set_up(*receivers: Receiver) -> dict[str, str]:
    """The settings of a watcher that delivers."""
    return {"CALLBACK_SECRET": SECRET, "CALLBACK_ALLOWED_HOSTS": ",".join(each.place for each in receivers)}


async def submit(yard: Yard, row: dict[str, Any], *hosts: str) -> None:
    """Queue a job that tells."""
    job = submission_of(normalize_job_spec(row, catalogue=CATALOGUE, callback_hosts=frozenset(hosts)), CATALOGUE)
    assert [reply.code for reply in await producing.submit(yard.queue, [job])] == ["queued"]


async def waiting(yard: Yard) -> int:
    """Callbacks still to be delivered."""
    return int(await yard.queue.client.xlen(yard.queue.keys.of("outbox_callback")))


@pytest.mark.parametrize(("place", "times"), [("commit.after", 1), ("callback.taken", 1), ("callback.delivered", 2)])
async def test_what_a_killed_watcher_left_to_tell_another_tells(yard: Yard, place: str, times: int) -> None:
    """Dead before the delivery: told once. Dead before it was settled: told again, the same under the same key."""
    async with receiving() as receiver:
        victim = await yard.started("victim", failpoint=place, **set_up(receiver))
        await submit(yard, yard.gated("job", callback_url=receiver.url()), receiver.place)
        assert await victim.ended() == -signal.SIGKILL
        assert (len(receiver.requests), await waiting(yard)) == (times - 1, 1)
        # What the dead one had taken comes due by itself after half a minute; here at once.
        key = yard.queue.keys.of("callback_due")
        members: Any = await yard.queue.client.zrange(key, 0, -1)
        await yard.queue.client.zadd(key, dict.fromkeys(members, 1), xx=True)
        await yard.started("other", host="elsewhere", **set_up(receiver))

        async def told() -> bool:
            return not await waiting(yard)

        await wait_until(told, RECOVERY_SECONDS, what="the callback")
        assert len(receiver.requests) == times
        assert len({(each.body, each.headers["idempotency-key"]) for each in receiver.requests}) == 1
        assert receiver.requests[0].record == (await yard.records())["job"]
        assert yard.runs("job") == 1


async def test_an_address_that_is_not_allowed_is_never_reached(yard: Yard) -> None:
    """Faults row 50 with whole programs: a name for this machine, a redirect to it, and no list at all."""
    async with receiving() as trap, receiving(Receiver(usual=307)) as receiver:
        receiver.headers = f"Location: {trap.url()}\r\n"
        name = f"localhost:{trap.port}"
        await submit(yard, yard.gated("name", callback_url=f"http://{name}/canary"), name)
        await submit(yard, yard.gated("redirect", callback_url=receiver.url("/canary")), receiver.place)
        hosts = f"{name},{receiver.place}"
        watcher = yard.watcher("watcher", CALLBACK_SECRET=SECRET, CALLBACK_ALLOWED_HOSTS=hosts)
        watcher.flags = ("--once",)
        watcher.start()
        assert await watcher.ended() == 0
        assert (trap.connections, len(receiver.requests)) == (0, 1)
        assert f"localhost:{trap.port} is" in watcher.log
        assert "no public address" in watcher.log
        assert "redirects are not followed" in watcher.log
        assert "2 callbacks wait for another try" in watcher.log
        assert not [word for word in ("canary", SECRET) if word in watcher.log]
        assert await waiting(yard) == 2
