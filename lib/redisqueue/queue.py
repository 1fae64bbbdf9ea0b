"""The handle that every transition takes: a client, the keys, the scripts, and the streams that exist.

Which intakes and lanes exist changes rarely and only ever grows, so the names are kept here and read again when a
script meets one that the caller did not name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from lib.redisqueue.connection import Client, as_text, edge
from lib.redisqueue.features import Features, detect
from lib.redisqueue.finding import torn_apart
from lib.redisqueue.keys import Keys, is_intake, is_lane, parse_intake
from lib.redisqueue.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

T = TypeVar("T")

BATCH_MAX_JOBS: Final = 500
BATCH_MAX_BYTES: Final = 512 * 1024
"""The most that one call carries: 500 jobs of 20 KB stalled a server for up to 47 ms."""


@dataclass(slots=True)
class Queue:
    """One queue on one server."""

    client: Client
    keys: Keys
    url: str
    scripts: Scripts
    intakes: tuple[str, ...] = ()
    lanes: tuple[str, ...] = ()
    _homes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def over(cls, client: Client, url: str, prefix: str = "pab", *, flags: bool = True) -> Queue:
        """The queue under `prefix`; `flags` False for a server that cannot read `#!lua` lines."""
        keys = Keys(prefix)
        return cls(client, keys, url, Scripts(client, keys, url, flags=flags))

    async def check_server(self, *, config: bool = False) -> Features:
        """What the server is; refuses a Cluster whose slots would tear this queue apart. `config`: asks more rights.

        Raises:
            SettingsError: a Cluster and a prefix without braces.

        """
        features = await detect(self.client, self.url, config=config)
        if features.cluster and not self.keys.in_one_slot:
            raise torn_apart(self.keys.prefix)
        return features

    async def refresh_streams(self) -> tuple[tuple[str, bytes | str], ...]:
        """Read again which intakes and lanes exist; (set, member) of what stands in their sets and is none."""
        async with edge(self.url):
            intakes = await self.client.smembers(self.keys.of("intakes"))
            lanes = await self.client.smembers(self.keys.of("lanes"))
        named = {"stream", *(as_text(name) for name in intakes if is_intake(as_text(name)))}
        # What comes back goes to the high intake of its class, so that one is known from the start.
        named |= {str(parse_intake(name).high()) for name in named}
        # A name once known is kept: losing the sets (DEL, eviction) must not make a live lane unknown.
        self.intakes = tuple(sorted({*self.intakes, *named}))
        self.lanes = tuple(sorted({*self.lanes, *(as_text(name) for name in lanes if is_lane(as_text(name)))}))
        aside = [("intakes", name) for name in intakes if not is_intake(as_text(name))]
        return (*aside, *(("lanes", name) for name in lanes if not is_lane(as_text(name))))

    def know_intakes(self, names: Iterable[str]) -> None:
        """Add intakes that this process is about to make."""
        fresh = set(names) - set(self.intakes)
        if fresh:
            self.intakes = tuple(sorted({*self.intakes, *fresh, *(self.home_of(name) for name in fresh)}))

    def home_of(self, intake: str) -> str:
        """The high intake of an intake's class: where a job goes when it comes back from a lane."""
        if intake not in self._homes:
            self._homes[intake] = str(parse_intake(intake).high())
        return self._homes[intake]


def batches(items: Sequence[T], sizes: Sequence[int]) -> Iterator[Sequence[T]]:
    """Cut into runs of at most 500 items and 512 KiB; one item that is larger goes alone."""
    begin, total = 0, 0
    for i, size in enumerate(sizes):
        if i > begin and (i - begin >= BATCH_MAX_JOBS or total + size > BATCH_MAX_BYTES):
            yield items[begin:i]
            begin, total = i, 0
        total += size
    if begin < len(items):
        yield items[begin:]
