"""What is rented now: whether somebody sees to each machine that may cost. No market is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job_runner.service.doctor.checks import Check
from lib.errors import JobRunnerError
from lib.market.ending import ALARM_EVERY
from lib.money import MICRO
from lib.redisqueue import instances, sessions
from lib.wiring import opened_queue

if TYPE_CHECKING:
    from lib.redisqueue.instances import Rows
    from lib.settings import Settings


async def instance_checks(settings: Settings) -> list[Check]:
    """Nothing where nothing is rented; a server that does not answer is told elsewhere."""
    try:
        async with opened_queue(settings) as queue:
            rows = await instances.rows(queue)
            living = await sessions.live_sessions(queue) if rows.instances else frozenset()
    except JobRunnerError:
        return []
    if not rows.living:
        return []
    return _troubles(rows, living) or [_figures(rows)]


def _troubles(rows: Rows, living: frozenset[str]) -> list[Check]:
    checks: list[Check] = []
    if rows.damaged:
        names = ", ".join(row.intent for row in rows.damaged)
        mend = "`job-runner doctor --fsck --repair`, then see on the market's own page that nothing runs there"
        checks.append(Check("instances", "wrong", f"rows that cannot be read: {names}", mend))
    ownerless = [row.intent for row in rows.instances if row.owner not in living]
    if ownerless:
        mend = "start a watcher with --backends vast, or run `job-watcher reap --once`: it destroys them"
        checks.append(Check("instances", "wrong", f"nobody drives what may cost: {', '.join(ownerless)}", mend))
    stubborn = [row.intent for row in rows.instances if row.state == "destroying" and row.asked >= ALARM_EVERY]
    if stubborn:
        found = f"asked to end again and again, and not proven gone: {', '.join(stubborn)}"
        mend = "see on the market's own page whether they run, and end them there"
        checks.append(Check("instances", "wrong", found, mend))
    return checks


def _figures(rows: Rows) -> Check:
    many = len(rows.instances)
    hourly, cost = sum(row.dph for row in rows.instances) / MICRO, sum(row.cost for row in rows.instances) / MICRO
    machines = "1 machine" if many == 1 else f"{many} machines"
    return Check("instances", "ok", f"{machines} at ${hourly:.3f} an hour, ${cost:.4f} so far")
