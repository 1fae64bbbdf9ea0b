"""What a machine would cost now, which one would be rented, and with which order: settings, market and history at once.

Your own hosts come before those that cost. Which offer is the best is `lib.market.offers`'s to say, from the batch, the
bills and what failed lately. A host of one's own that stands in a row is in use, by whichever watcher: one at a time
has it. Nothing is rented here. Called by the watcher's fleet and by `job-runner offers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lib.market import life
from lib.market.base import HostWants, RentOrder
from lib.market.figures import learn
from lib.market.offers import BatchNeeds, best, bid, rank
from lib.market.ssh import address_of
from lib.money import MICRO
from lib.redisqueue import instances, spend
from lib.renting.keeping import Rent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.clock import Clock
    from lib.market.base import GpuMarket, MarketOffer
    from lib.market.figures import Figures, Learnt
    from lib.market.instance import Instance
    from lib.market.offers import Ranked
    from lib.redisqueue.queue import Queue
    from lib.renting.keeping import Books
    from lib.settings import Settings

GONE_SECONDS: Final = 300.0
"""An offer that somebody else took, or that the market would not give, is left out for so long."""

OWN_START_SECONDS: Final = 20.0
"""To come in, look round and load a model, on a machine that runs already."""

BILLS_READ: Final = 100
REFRESH_SECONDS: Final = 30.0

_CHARACTERS_A_JOB: Final = 500

_SENT_GB_A_CHARACTER: Final = 48_000 / 15 / 1e9
"""What comes back of it: a second of sound for some fifteen, at the rate and depth that most engines have."""


@dataclass(slots=True)
class Shopping:
    """`markets` by name, as `lib.wiring.markets` makes them."""

    settings: Settings
    queue: Queue
    clock: Clock
    markets: Mapping[str, GpuMarket]
    _gone: dict[tuple[str, str], float] = field(default_factory=dict)
    _learnt: Learnt | None = None
    _read_at: float = float("-inf")
    _last_dph: int | None = None

    def most(self, rows: Sequence[Instance]) -> int:
        """How many machines there may be at once: one's own, the own ones of other watchers that are in use, rented."""
        own = {_place(host) for host in self.settings.ssh_hosts}
        theirs = sum(_place(each.machine_id) not in own for each in rows if each.market == "ssh")
        return len(own) + theirs + (self.settings.vast_max_instances if "vast" in self.markets else 0)

    @property
    def max_dph(self) -> int:
        """VAST_MAX_DPH in millionths of a dollar."""
        return round(self.settings.vast_max_dph * MICRO)

    async def figures(self, rows: Sequence[Instance]) -> Figures:
        """What the next machine would take and cost."""
        learnt = await self._history()
        if await self._own_is_free(rows):
            return replace(learnt.figures(0), startup=OWN_START_SECONDS, startup_most=2 * OWN_START_SECONDS)
        return learnt.figures(self.max_dph if self._last_dph is None else self._last_dph)

    async def budget_left(self, rows: Sequence[Instance]) -> int | None:
        """What of today's budget is neither spent nor reserved; None: there is none. One's own machines need none."""
        budget = self.settings.budget_per_day_usd
        if await self._own_is_free(rows):
            return self.max_dph * 1_000_000
        if budget is None:
            return None
        return max(0, round(budget * MICRO) - (await spend.today(self.queue)).total)

    async def ranked(self, market: GpuMarket, jobs: int, rows: Sequence[Instance] = ()) -> list[Ranked]:
        """All offers of a market, the best for so many jobs first; those that cannot be taken last, with the reason.

        `rows` is what is rented already: a host of one's own that is among them is in use.

        Raises:
            MarketError, UnreachableError, SettingsError: as the market's search.

        """
        excluded = await instances.excluded(self.queue)
        learnt = await self._history()
        wants = HostWants(
            disk_gb=self.settings.vast_disk,
            max_dph=self.max_dph,
            query=self.settings.vast_query,
            interruptible=self.settings.vast_interruptible,
            excluded=frozenset(excluded),
        )
        offers = await market.search(wants)
        history = learnt.history(_CHARACTERS_A_JOB, {machine: each.why for machine, each in excluded.items()})
        if market.name == "ssh":
            history = replace(history, usual_start=OWN_START_SECONDS)
        disk = self.settings.vast_disk if market.name == "vast" else 0
        characters = _CHARACTERS_A_JOB * max(1, jobs)
        batch = BatchNeeds(characters, disk, self.max_dph, jobs, up_gb=characters * _SENT_GB_A_CHARACTER)
        now = self.clock.elapsed()
        free = [each for each in offers if self._gone.get((market.name, each.id), 0.0) <= now]
        used = _in_use(rows) if market.name == "ssh" else frozenset()
        ranked = [
            replace(each, refused="in use: one watcher has it at a time") if _place(each.offer.id) in used else each
            for each in rank(free, batch, history)
        ]
        return sorted(ranked, key=lambda each: bool(each.refused))

    async def choose(self, jobs: int, rows: Sequence[Instance]) -> tuple[GpuMarket, MarketOffer] | None:
        """What to rent next; None where nothing fits."""
        for market in sorted(self.markets.values(), key=lambda each: each.name != "ssh"):
            taken = [each for each in rows if each.market == market.name]
            if market.name == "vast" and len(taken) >= self.settings.vast_max_instances:
                continue
            found = best(await self.ranked(market, jobs, rows))
            if found is not None:
                offer = found.offer
                if offer.interruptible:
                    offer = replace(offer, dph=bid(offer, self.max_dph, self.settings.vast_disk))
                if market.name != "ssh":
                    # One's own says nothing of what the next machine costs.
                    self._last_dph = offer.hourly(self.settings.vast_disk)
                return market, offer
        return None

    def intent(self, name: str, market: GpuMarket, offer: MarketOffer, books: Books) -> Instance:
        """The row of an intent to rent this."""
        disk = float(self.settings.vast_disk) if market.name == "vast" else 0.0
        return life.begin(name, market.name, offer, disk, books.now(), books.limits, owner=books.session)

    def reserve(self, instance: Instance, books: Books) -> int:
        """The most that it may cost."""
        return life.worst_cost(instance.dph, books.limits.max_runtime)

    def rent(self, instance: Instance, offer: MarketOffer, books: Books, *, public_key: str, onstart: str) -> Rent:
        """The order for this row; nothing in it is a secret."""
        order = RentOrder(
            label=str(life.label_of(instance, books.namespace)),
            image=self.settings.vast_image,
            disk_gb=float(self.settings.vast_disk),
            public_key=public_key,
            onstart=onstart,
            bid=offer.dph if offer.interruptible else None,
        )
        return Rent(offer, order)

    def gone(self, market: str, offer: str) -> None:
        """Somebody else has it: it is left out for a while."""
        now = self.clock.elapsed()
        self._gone = {key: until for key, until in self._gone.items() if until > now}
        self._gone[market, offer] = now + GONE_SECONDS

    async def _own_is_free(self, rows: Sequence[Instance]) -> bool:
        """Whether a host of SSH_HOSTS is in nobody's hands, and is not left out since it failed."""
        hosts = {_place(host) for host in self.settings.ssh_hosts} - _in_use(rows)
        if not hosts:
            return False
        return not hosts <= {_place(machine) for machine in await instances.excluded(self.queue)}

    async def _history(self) -> Learnt:
        now = self.clock.elapsed()
        if self._learnt is None or now - self._read_at >= REFRESH_SECONDS:
            self._learnt = learn(await instances.bills(self.queue, BILLS_READ))
            self._read_at = now
        return self._learnt


def _in_use(rows: Sequence[Instance]) -> frozenset[tuple[str, int]]:
    """The hosts of people's own that some watcher has: until its row is gone, whatever became of that watcher."""
    return frozenset(_place(each.machine_id) for each in rows if each.market == "ssh")


def _place(host: str) -> tuple[str, int]:
    """One host under whatever user: two watchers on it would slow each other down."""
    address = address_of(host)
    return address.host.lower(), address.port
