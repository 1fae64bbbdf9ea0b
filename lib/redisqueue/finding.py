"""Which server to talk to: the one of the URL, the master that Sentinels name, or the owner of a Cluster's slot.

Asked anew at every connect, and checked against what the server says of itself, because an address that was right a
moment ago may be a replica's now. It keeps no connection; `wires` calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.crc import key_slot

from lib.errors import SettingsError, UnreachableError
from lib.redisqueue.answers import as_text
from lib.redisqueue.keys import Keys
from lib.redisqueue.sentinels import ask_sentinels

if TYPE_CHECKING:
    from lib.server_url import Host, ServerUrl

_SLOTS_OF_ONE: Final = 2
"""Where the master stands in a row of CLUSTER SLOTS: first slot, last slot, master, replicas."""


class Wire(Protocol):
    """A connection that has just been made."""

    @property
    def mode(self) -> str:
        """`standalone`, `cluster` or `sentinel`."""

    @property
    def role(self) -> str:
        """`master` or `replica`."""

    async def ask(self, *words: str) -> Any:
        """One command and its reply, over this very connection."""


class Finder(Protocol):
    """Where the server is."""

    generation: int
    """Changes when the server is somewhere else: older connections are not to be used any more."""

    async def address(self) -> Host:
        """Where to connect to."""

    async def is_here(self, wire: Wire) -> bool:
        """Whether this connection reached the right server; when not, `address` has a better answer now."""

    def lost(self) -> None:
        """A server said that it is not the right one any more, or did not let us connect."""


class ByAddress:
    """The server of the URL; on a Cluster, the node that has the queue's slot."""

    def __init__(self, url: ServerUrl, prefix: str | None) -> None:
        self.generation = 0
        self._seed = url.hosts[0]
        self._prefix = prefix
        self._owner: Host | None = None
        self._others: list[Host] = []

    async def address(self) -> Host:
        """The owner of the slot, where one is known; else the URL's host and the nodes met so far, in turn."""
        return self._owner or self._seed

    async def is_here(self, wire: Wire) -> bool:
        """Any server but a Sentinel; of a Cluster the one with the slot.

        Raises:
            SettingsError: a Sentinel, or a Cluster and a prefix without braces.

        """
        if wire.mode == "sentinel":
            host, port = self._seed
            raise SettingsError(
                f"REDIS_URL: {host}:{port} is a Sentinel, not a server",
                hint=f"write redis+sentinel://{host}:{port}/SERVICE",
            )
        if wire.mode != "cluster" or self._prefix is None:
            return True
        keys = Keys(self._prefix)
        if not keys.in_one_slot:
            raise torn_apart(self._prefix)
        return await self._is_owner(wire, key_slot(keys.of("index").encode()))

    async def _is_owner(self, wire: Wire, slot: int) -> bool:
        own_id = as_text(await wire.ask("CLUSTER", "MYID"))
        rows = await wire.ask("CLUSTER", "SLOTS")
        masters = [row[_SLOTS_OF_ONE] for row in rows]
        self._others = [place for place in map(self._place, masters) if place != self._seed]
        for row in rows:
            if row[0] <= slot <= row[1]:
                master = row[_SLOTS_OF_ONE]
                self._owner = self._place(master)
                return as_text(master[2]) == own_id
        raise UnreachableError(f"the Cluster has no node for slot {slot}, where this queue lives", hint=_MEND_SLOTS)

    def _place(self, node: list[Any]) -> Host:
        # Without a host of its own a node means: where you asked.
        host = as_text(node[0]) if node[0] else (self._owner or self._seed)[0]
        return host, int(node[1])

    def lost(self) -> None:
        """Look again, from the next node that may know."""
        self.generation += 1
        if self._owner is None and self._others:
            self._others.append(self._seed)
            self._seed = self._others.pop(0)
        self._owner = None


_MEND_SLOTS: Final = "mend it there: `redis-cli --cluster fix HOST:PORT`"


class BySentinels:
    """The master of one service, as its Sentinels name it."""

    def __init__(self, url: ServerUrl, shown: str) -> None:
        self.generation = 0
        self._url = url
        self._shown = shown

    async def address(self) -> Host:
        """Asked each time.

        Raises:
            UnreachableError: no Sentinel answers, or none knows the service.

        """
        return (await ask_sentinels(self._url, self._shown)).master

    async def is_here(self, wire: Wire) -> bool:
        """Only a master.

        Raises:
            UnreachableError: it is a replica: a failover is under way.

        """
        if wire.role == "master":
            return True
        raise UnreachableError(
            f"Redis at {self._shown} does not answer: the Sentinels name a server that is no master yet",
            hint="a failover is under way; try again in some seconds",
        )

    def lost(self) -> None:
        """Connections to the former master are not to be used any more."""
        self.generation += 1


def torn_apart(prefix: str) -> SettingsError:
    """A Cluster, and a prefix that would spread one queue over its slots."""
    return SettingsError(
        f"JOBS_PREFIX: {prefix!r} would spread the queue over the slots of a Redis Cluster",
        hint=f"write it with braces: JOBS_PREFIX='{{{prefix}}}'",
    )
