"""What the leader is told when it is woken: by how much streams have grown or shrunk; then it need not look first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.redisqueue import conducting
from lib.redisqueue.conducting import WakePosition
from tests.conformance.stage import METAL, ending, submission

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Submission
    from tests.conformance.stage import Stage

HIGH = "stream:high:any"
NORMAL = "stream:normal:any"


async def heard(stage: Stage) -> tuple[set[str], dict[str, int]]:
    """Everything that was said since the queue was made."""
    woken = await conducting.wait_for_wake(stage.queue, stage.queue.client, WakePosition(), block_ms=1)
    return woken.reasons, {name: count for name, count in woken.changes.items() if count}


def urgent(request_id: str, **more: Any) -> Submission:
    """A job of another intake."""
    return submission(request_id, intake=HIGH, **more)


async def test_a_submit_tells_how_many_came_into_which_intake(stage: Stage) -> None:
    """Only what stands there: a duplicate and a job for later have not come."""
    ordinary = submission("a", intake=NORMAL)
    await stage.submit(ordinary, urgent("b"), urgent("c"), ordinary, urgent("d", due_ms=9_999_999_999_999))
    reasons, changes = await heard(stage)
    assert reasons == {"streams"}
    assert changes == {NORMAL: 1, HIGH: 2}


async def test_a_commit_tells_how_many_left_which_lane(stage: Stage) -> None:
    """As a count below zero; what was refused has left nothing."""
    session = await stage.open()
    one, two = await stage.lease(session, "a", "b")
    before = (await heard(stage))[1]
    assert METAL not in before
    await stage.finish(session, ending(one), ending(two), ending(two._replace(fence="7")))
    assert (await heard(stage))[1] == before | {METAL: -2}


async def test_what_somebody_else_wrote_there_is_no_error(stage: Stage) -> None:
    """No number, no reason: the leader is woken and told nothing."""
    await stage.queue.client.xadd(stage.queue.keys.of("wake"), {"x": "many", NORMAL: "--1"})
    assert await heard(stage) == ({"?"}, {})
