"""The dead-man: a script on a rented host that destroys it when no watcher has renewed it for too long.

It is the last thing between a dead watcher and a bill without end, so it is POSIX sh, needs curl or python3 and nothing
of ours, is started before everything else, and ends by nothing but SIGKILL. Its key is the one that the market gives
each instance for itself (`CONTAINER_API_KEY`), which can destroy this instance alone; it is in no file and no argv.
Called by the driver of an instance. Hosts of one's own have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from job_watcher.hosts.connection import Host

MARKET_URL: Final = "https://console.vast.ai"
"""Where an instance is destroyed, unless VAST_URL names another address."""


def onstart(seconds: float, url: str = "", then: str = "", *, last_resort: str | None = None) -> str:
    """The script that a host runs first: it writes the dead-man, starts it, and goes on with `then`.

    `seconds` is VAST_DEAD_MAN, `url` VAST_URL. `last_resort` is a command for when the market has not answered for
    long; by default it powers off, where it is root's machine. It is below the 4,000 characters that markets take.
    """
    raise NotImplementedError


async def renew(host: Host, seconds: float = 10.0) -> bool:
    """Say that a watcher is alive; False where no dead-man runs there, which `revive` mends.

    Raises:
        HostLostError: the host did not answer.
    """
    raise NotImplementedError


async def revive(host: Host, dead_man_seconds: float, url: str = "", *, seconds: float = 10.0) -> bool:
    """Start the dead-man by ssh where it does not run; whether it runs then (no key, no dead-man).

    Raises:
        HostLostError: the host did not answer.
    """
    raise NotImplementedError
