"""Drives a real queue and its model side by side, in any order, and compares them after every step.

Called by `test_stateful.py`.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.conformance.stage import METAL
from tests.lib.redisqueue.machine_jobs import JobRules
from tests.lib.redisqueue.machine_watchers import WATCHERS, WatcherRules
from tests.lib.redisqueue.model import HIGH, Ask


class QueueMachine(JobRules, WatcherRules):
    """One queue, three watchers, five ids, two conflict keys."""

    @initialize(key=st.sampled_from(["", "k"]))
    def a_queue_at_work(self, key: str) -> None:
        """Two watchers, and three jobs of which two run: what is worth testing happens to leases."""
        self.submit(
            asks=[Ask("a", "x", key=key), Ask("b", "x", key=key, queues=True), Ask("c", "x")], mode="new", lost=False
        )
        self.open(name="w1")
        self.open(name="w2")
        self.work(name="w1")

    @rule(name=WATCHERS)
    def work(self, name: str) -> None:
        """A watcher gets what it can: back from the dead, from intake, and leased."""
        self.conduct(orders=[(HIGH, METAL, 2), ("stream", METAL, 2)], lost=False)
        self.start(name=name, read=2, suspects=1, lost=False)

    @rule(name=WATCHERS)
    def die_and_be_found(self, name: str) -> None:
        """A session ends and the sweep comes by."""
        self.lapse(name=name)
        self.sweep()

    @rule(name=WATCHERS)
    def restart(self, name: str) -> None:
        """A watcher comes back under its name before anyone has swept: its old leases still name the old session."""
        self.open(name=name)
