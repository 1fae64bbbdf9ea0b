"""The stateful property test: whatever happens in whatever order, the queue is what a plain model says it is."""

from __future__ import annotations

import os
import uuid
from functools import partial

import fakeredis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.lib.redisqueue.machine import QueueMachine

QUICK = settings(
    max_examples=25,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
_IN_CI = os.environ.get("CI") == "true"
LONG = settings(QUICK, max_examples=25 if _IN_CI else 150, stateful_step_count=80, derandomize=_IN_CI)
"""On a laptop each run walks new ways; in CI fewer and the same ones, so that a red run can be repeated."""


@pytest.mark.timeout(400)
def test_any_order_of_events_on_fakeredis() -> None:
    """Promises 2, 3, 4, 7 and 8 after every step."""

    def make() -> Queue:
        fake = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
        return Queue.over(fake, "redis://fake", "t", flags=False)

    run_state_machine_as_test(partial(QueueMachine, make), settings=QUICK)  # type: ignore[arg-type]  # any factory will do


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_any_order_of_events_on_valkey(valkey_url: str) -> None:
    """The same on the server that users get, and longer."""

    def make() -> Queue:
        return Queue.over(connect(valkey_url), valkey_url, f"t{uuid.uuid4().hex[:12]}")

    run_state_machine_as_test(partial(QueueMachine, make), settings=LONG)  # type: ignore[arg-type]  # ditto
