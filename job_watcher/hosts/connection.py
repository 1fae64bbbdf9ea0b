"""A connection to one host: made within a deadline, and to the machine that it was before.

The key of a host's first connection is told as `Host.known_key`; whoever connects again gives it back, and another one
is HostKeyChangedError. Nothing is read from the user's ssh configuration. Called by the driver of an instance.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from job_watcher.hosts.errors import HostKeyChangedError, HostLostError, HostRefusedError
from job_watcher.hosts.host import Host
from job_watcher.hosts.keys import HostKeys, OwnKeys

if TYPE_CHECKING:
    from lib.market.base import Address

__all__ = ["Host", "connect"]

KEEPALIVE_SECONDS: Final = 5.0
_KEEPALIVES: Final = 3
# One try; a machine that has just started may hang at its first connection and answer the second.
_TRY_SECONDS: Final = 15.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0
_KNOWN_HOSTS: Final = Path("~/.ssh/known_hosts")


async def connect(
    address: Address,
    keys: HostKeys | OwnKeys,
    known: bytes | None,
    seconds: float,
    *,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
) -> Host:
    """Reach the host, trying again until `seconds` have passed; `known` is the pinned host key, None the first time.

    A rented host may know its new key a while after it answers, so a refusal is tried again; one's own is not.

    Raises:
        HostKeyChangedError: another machine answers; not tried again.
        HostRefusedError: it refuses the key.
        HostLostError: nothing answered in time.
    """
    name = f"{address.host}:{address.port}"
    options = {**_options(address, keys, known), "keepalive_interval": keepalive_seconds}
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    pause = _FIRST_PAUSE_SECONDS
    last: Exception | None = None
    while (left := end - clock()) > 0:
        guard = _Guard(known, first=not any(options["known_hosts"]))
        try:
            async with asyncio.timeout(min(left, _TRY_SECONDS)):
                connection = await asyncssh.connect(
                    address.host, address.port, client_factory=lambda guard=guard: guard, **options
                )
            return Host(connection, name, _key_of(connection), guard.lost)
        except asyncssh.HostKeyNotVerifiable as exc:
            raise HostKeyChangedError(
                f"{name} has another host key than before", hint="another machine answers there, or somebody between"
            ) from exc
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as exc:
            raise HostRefusedError(f"the ssh key cannot be used: {exc}", hint="look at VAST_SSH_KEY") from exc
        except (asyncssh.Error, OSError, OverflowError, ValueError) as exc:
            # The latter two are an address that is none, which a market may give.
            if isinstance(exc, asyncssh.PermissionDenied) and isinstance(keys, OwnKeys):
                raise _refused(name, exc) from exc
            last = exc
        await asyncio.sleep(min(pause, max(0.0, end - clock())))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    if isinstance(last, asyncssh.PermissionDenied):
        raise _refused(name, last) from last
    why = f": {last}" if last is not None and str(last) else ""
    raise HostLostError(f"{name} let nobody in within {seconds:g} s{why}") from last


class _Guard(asyncssh.SSHClient):
    """Looks at the host's key, and at the end of the connection. `first`: any key is let by where none is pinned."""

    def __init__(self, known: bytes | None, *, first: bool) -> None:
        self._known = _bare(known) if known is not None else None
        self._first = first
        self.lost = asyncio.Event()

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        return self._first if self._known is None else _bare(key.export_public_key("openssh")) == self._known

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost.set()


def _key_of(connection: asyncssh.SSHClientConnection) -> bytes:
    key = connection.get_server_host_key()
    return b"" if key is None else _bare(key.export_public_key("openssh"))


def _bare(line: bytes) -> bytes:
    """The kind and the key of a line, without its comment."""
    return b" ".join(line.split()[:2])


def _refused(name: str, exc: Exception) -> HostRefusedError:
    return HostRefusedError(
        f"{name} does not let us in: {exc}", hint="is the key in its authorized_keys? For your own hosts: VAST_SSH_KEY"
    )


def _options(address: Address, keys: HostKeys | OwnKeys, known: bytes | None) -> dict[str, Any]:
    """What asyncssh is told: keys and nothing else let us in, and no file of the user's is read for a rented host."""
    options: dict[str, Any] = {
        "username": address.user,
        "config": None,
        "known_hosts": ([], [], []),
        "preferred_auth": "publickey",
        # The speed of the line is measured, and audio does not shrink.
        "compression_algs": ["none"],
        "keepalive_count_max": _KEEPALIVES,
        "connect_timeout": _TRY_SECONDS,
        "login_timeout": _TRY_SECONDS,
    }
    if isinstance(keys, HostKeys):
        return {**options, "client_keys": [asyncssh.import_private_key(keys.private)], "agent_path": None}
    if keys.file is not None:
        options |= {"client_keys": [str(keys.file)], "agent_path": None}
    file = _KNOWN_HOSTS.expanduser()
    if known is None and file.exists():
        found = asyncssh.match_known_hosts(str(file), address.host, "", address.port)
        if found[0] or found[1]:
            options["known_hosts"] = found
    return options
