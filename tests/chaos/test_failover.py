"""The master is lost while jobs run, and Sentinels promote its replica: faults row 11.

What was promised as `replicated(1)` is there; what only the lost master had is gone or made again, as
docs/explanation/guarantees.md says, and never twice on the server that survives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.failing_over import enqueue, failed_over, line_of, stop_replicating, yard_behind
from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.topologies import SERVICE, role, watched
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.chaos.yard import Yard
    from tests.support.topologies import Watched

pytestmark = pytest.mark.chaos


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Watched]:
    """Two servers and three Sentinels for one test."""
    with watched(tmp_path / "servers") as running:
        yield running


@pytest.fixture
async def yard(group: Watched, prefix: str, tmp_path: Path) -> AsyncIterator[Yard]:
    """A queue and watchers that know only the Sentinels."""
    async with yard_behind(group, prefix, tmp_path) as place:
        yield place


async def test_what_was_promised_as_replicated_is_there_after_the_masters_loss(yard: Yard, group: Watched) -> None:
    """SIGKILL of the master in mid-run: every promised job is done, each run once, by the same session."""
    ids = [f"job-{i}" for i in range(6)]
    await yard.started("watcher", url=group.url)
    session = await yard.session("watcher")
    told = await enqueue(yard, group, "replicated:1", *(yard.gated(each, gate="end") for each in ids))
    assert told["durability"] == "replicated(1)"
    await yard.runs_reach("job-0", 1)
    await yard.leased("job-0")
    assert await yard.queue.client.wait(1, 5000) == 1
    group.first.kill()
    await failed_over(group)
    yard.open_gate("end")
    await yard.answers()
    await yard.all_done(*ids)
    assert {each: yard.runs(each) for each in ids} == dict.fromkeys(ids, 1)
    assert await yard.session("watcher") == session
    assert await yard.submit(yard.gated("later")) == ["queued"]
    await yard.all_done("later")


async def test_a_watcher_with_the_least_rights_goes_on_after_a_failover(yard: Yard, group: Watched) -> None:
    """The user of docs/how-to/redis-acl.md is enough to find the new master, renew, commit and take up more.

    Each server keeps users of its own, so both are given the line. What was promised is done, each run once, and the
    server that survives has refused nothing.
    """
    for server in (group.first, group.second):
        server.command(*line_of("jobs", prefix=yard.prefix))
    url = group.url.replace("://", "://jobs:PASSWORD@", 1)
    await yard.started("watcher", url=url)
    session = await yard.session("watcher")
    told = await enqueue(yard, group, "replicated:1", yard.gated("a", gate="end"), yard.gated("b"), url=url)
    assert told["durability"] == "replicated(1)"
    await yard.runs_reach("a", 1)
    await yard.leased("a")
    assert await yard.queue.client.wait(1, 5000) == 1
    group.first.kill()
    await failed_over(group)
    yard.open_gate("end")
    await yard.answers()
    await yard.all_done("a", "b")
    assert (yard.runs("a"), yard.runs("b")) == (1, 1)
    assert await yard.session("watcher") == session
    assert group.second.command("ACL", "LOG") == b"*0\r\n"


async def test_a_lagging_replica_rewinds_the_queue_and_nothing_has_two_records(yard: Yard, group: Watched) -> None:
    """What only the lost master had is lost or made again; what the survivor had a record of stays as it is."""
    await yard.started("watcher", url=group.url)
    await yard.submit(yard.gated("before"), yard.gated("ended-there", gate="there"), yard.gated("running", gate="end"))
    before = (await yard.all_done("before"))["before"]
    await yard.runs_reach("ended-there", 1)
    await yard.runs_reach("running", 1)
    await yard.leased("running")
    assert await yard.queue.client.wait(1, 5000) == 1
    stop_replicating(group)
    told = await enqueue(yard, group, "memory", yard.gated("lost"))
    assert told["durability"] == "memory"
    yard.open_gate("there")
    lost = await yard.all_done("ended-there", "lost")
    group.first.kill()
    await failed_over(group)
    yard.open_gate("end")
    await yard.answers()
    again = await yard.all_done("ended-there", "running")
    assert again["ended-there"]["fence"] != lost["ended-there"]["fence"]
    assert (yard.runs("before"), yard.runs("ended-there"), yard.runs("running")) == (1, 2, 1)
    records = await yard.records()
    assert records["before"] == before
    assert "lost" not in records
    assert sorted(await yard.history("done")) == ["before", "ended-there", "running"]
    # To send the same file once more is the mend, and does nothing to what is there.
    assert await yard.submit(yard.gated("before"), yard.gated("lost")) == ["already_done", "queued"]
    await yard.all_done("lost")


async def test_a_master_that_becomes_a_replica_is_left(yard: Yard, group: Watched) -> None:
    """An orderly failover, the old master alive and read-only: watchers and their blocked readers find the new one."""
    await yard.started("watcher", url=group.url)
    session = await yard.session("watcher")
    await yard.submit(yard.gated("running", gate="end"))
    await yard.runs_reach("running", 1)
    group.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)
    await failed_over(group)
    # The Sentinels would say so too, some ten seconds later.
    group.first.command("REPLICAOF", "127.0.0.1", str(group.second.port))
    assert role(group.first) == "slave"
    await yard.answers()
    await yard.submitted(yard.gated("later"))
    await yard.all_done("later", deadline_seconds=RECOVERY_SECONDS)
    yard.open_gate("end")
    await yard.all_done("running")
    assert (yard.runs("running"), yard.runs("later")) == (1, 1)
    assert await yard.session("watcher") == session


async def test_a_producer_that_waits_for_replicas_is_told_when_there_are_none(yard: Yard, group: Watched) -> None:
    """`replicated(1)` is never said of a server whose replica gets nothing."""
    stop_replicating(group)
    await wait_until(lambda: b"connected_slaves:0" in group.first.command("INFO", "replication"), 10)
    with pytest.raises(AssertionError, match="the server has 0 replicas; nothing was queued"):
        await enqueue(yard, group, "replicated:1", yard.gated("job"))
    assert await yard.row("job") is None
