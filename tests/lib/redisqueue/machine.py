"""Drives a real queue and its model side by side, in any order, and compares them after every step.

Called by `test_stateful.py`.
"""

from __future__ import annotations

from tests.lib.redisqueue.machine_jobs import JobRules
from tests.lib.redisqueue.machine_watchers import WatcherRules


class QueueMachine(JobRules, WatcherRules):
    """One queue, three watchers, five ids, two conflict keys."""
