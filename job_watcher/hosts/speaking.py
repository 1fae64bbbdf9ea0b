"""What asyncssh raises while one speaks with a host, turned into what it means. Called by the modules beside it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import asyncssh

from job_watcher.hosts.errors import HostLostError, HostRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Spoken(Protocol):
    """Whom one speaks with."""

    name: str
    lost: asyncio.Event


@asynccontextmanager
async def speaking(host: Spoken, what: str, seconds: float | None = None) -> AsyncIterator[None]:
    """Do `what` within `seconds` (None: without a limit).

    Errors of this machine's own disk pass as they are.

    Raises:
        HostLostError: the connection is gone, or time was up.
        HostRefusedError: the host answered that it will not.
    """
    if host.lost.is_set():
        raise HostLostError(f"the connection to {host.name} is gone: no {what}")
    try:
        async with asyncio.timeout(seconds):
            yield
    except (asyncssh.DisconnectError, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, ConnectionError) as exc:
        raise HostLostError(f"the connection to {host.name} broke: no {what}: {exc}") from exc
    except TimeoutError as exc:
        raise HostLostError(f"{host.name} did not answer within {seconds or 0:g} s: no {what}") from exc
    except asyncssh.Error as exc:
        if host.lost.is_set():
            raise HostLostError(f"the connection to {host.name} broke: no {what}: {exc}") from exc
        raise HostRefusedError(f"{host.name} refuses: no {what}: {exc}") from exc
