"""Callbacks: are they set up, whole or by half, and how many still wait to be delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job_runner.service.doctor.checks import Check
from lib.errors import JobRunnerError
from lib.redisqueue.overview import overview
from lib.wiring import opened_queue

if TYPE_CHECKING:
    from lib.settings import Settings


async def callback_checks(settings: Settings) -> list[Check]:
    """One line; a server that does not answer is told elsewhere."""
    hosts = settings.callback_allowed_hosts
    waiting = await _waiting(settings)
    if not settings.callback_secret and not hosts:
        if waiting:
            return [
                Check(
                    "callbacks",
                    "note",
                    f"off here, and {waiting} wait to be delivered",
                    "run a watcher with the CALLBACK_SECRET and CALLBACK_ALLOWED_HOSTS of their submit",
                )
            ]
        return [Check("callbacks", "ok", "off: a job with callback_url is refused")]
    if not (settings.callback_secret and hosts):
        missing = "CALLBACK_ALLOWED_HOSTS" if settings.callback_secret else "CALLBACK_SECRET"
        return [Check("callbacks", "wrong", f"set up by half: {missing} is not set", f"set {missing} too")]
    figures = "" if waiting is None else f"; {waiting} wait to be delivered"
    return [Check("callbacks", "ok", f"to {', '.join(hosts)}{figures}")]


async def _waiting(settings: Settings) -> int | None:
    try:
        async with opened_queue(settings) as queue:
            document = await overview(queue, lease_idle_ms=settings.watcher_lease_idle_ms)
    except JobRunnerError:
        return None
    return int(document["outbox"]["callback"])
