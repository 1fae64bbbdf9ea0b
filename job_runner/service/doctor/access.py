"""How the server is reached: by Sentinels, in a Cluster, over TLS, under which user. Silent about what is plain."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from job_runner.service.doctor.checks import Check
from lib.errors import JobRunnerError
from lib.redisqueue.answers import RIGHTS_PAGE
from lib.redisqueue.rights import missing_rights, told
from lib.redisqueue.sentinels import ask_sentinels
from lib.server_url import parse_server_url, without_secrets

if TYPE_CHECKING:
    from lib.redisqueue.features import Features
    from lib.redisqueue.queue import Queue
    from lib.server_url import ServerUrl
    from lib.settings import Settings

SAFE_SENTINELS: Final = 3
"""Fewer cannot agree on anything once one is gone."""


async def access_checks(queue: Queue, settings: Settings, features: Features) -> list[Check]:
    """One line for each way that is not the plain one."""
    url = parse_server_url(settings.redis_url)
    found: list[Check] = []
    if url.kind == "sentinel":
        found.append(await _sentinels(url, settings))
    if features.cluster:
        found.append(Check("cluster", "ok", f"the whole queue {settings.jobs_prefix!r} is in one slot"))
    if features.role != "master":
        found.append(
            Check("role", "wrong", "this server is a replica: it takes no jobs", "set REDIS_URL to its master")
        )
    if url.tls:
        found.append(Check("tls", "ok", "the connection is encrypted and the server's certificate is checked"))
    elif _is_open(url):
        found.append(
            Check("tls", "note", "jobs and passwords cross the network as plain text", "see docs/how-to/tls.md")
        )
    rights = await _rights(queue, url)
    return [*found, *([rights] if rights else [])]


async def _sentinels(url: ServerUrl, settings: Settings) -> Check:
    try:
        seen = await ask_sentinels(url, without_secrets(settings.redis_url))
    except JobRunnerError as exc:
        return Check("sentinel", "wrong", exc.message, exc.hint or "")
    host, port = seen.master
    found = (
        f"{url.service} is {host}:{port}; {seen.answered} of {seen.asked} Sentinels answer, {seen.sentinels} watch it, "
        f"quorum {seen.quorum}, {seen.replicas} {'replica' if seen.replicas == 1 else 'replicas'}"
    )
    if seen.down:
        return Check("sentinel", "wrong", f"{found}; they call it down", "a failover is under way, or cannot be made")
    if not seen.replicas:
        return Check("sentinel", "wrong", found, "connect a replica: there is nobody to promote")
    if seen.sentinels < SAFE_SENTINELS:
        return Check("sentinel", "note", found, f"let {SAFE_SENTINELS} or more watch it, on different machines")
    if seen.answered < seen.asked:
        return Check("sentinel", "note", found, "start the others, or take them out of REDIS_URL")
    return Check("sentinel", "ok", found)


def _is_open(url: ServerUrl) -> bool:
    """Whether what is sent leaves this machine, as far as the URL tells."""
    return any(not _is_here(host) for host, _ in url.hosts)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _rights(queue: Queue, url: ServerUrl) -> Check | None:
    """Nothing about the default user who may do everything."""
    user = url.username or "default"
    lacking = await missing_rights(queue, "watcher")
    if not lacking:
        return Check("rights", "ok", f"user {user} may do all that the queue needs") if url.username else None
    for role, may in (("producer", "enqueue and look"), ("reader", "only look")):
        if not await missing_rights(queue, role):  # type: ignore[arg-type]  # the two names are roles
            return Check("rights", "note", f"user {user} may {may}; no watcher can run under it", f"see {RIGHTS_PAGE}")
    return Check("rights", "wrong", f"user {user}: {told(lacking, queue)}", f"see {RIGHTS_PAGE}")
