"""What the fake market has to rent, and its language of queries: the rows and filters that Vast.ai's API knows.

It ranks nothing and rents nothing out. Called by `tests.fakes.vast_server`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MONTH_HOURS: Final = 24 * 30


@dataclass(slots=True)
class Offer:
    """A machine for rent: dollars an hour, dollars a GB a month for storage, dollars a GB for traffic, Mbit/s, MB."""

    id: int
    machine_id: int = 0
    dph: float = 0.2
    gpu: str = "RTX 4090"
    gpus: int = 1
    gpu_ram: int = 24_564
    storage_cost: float = 0.15
    up_cost: float = 0.002
    down_cost: float = 0.001
    up: float = 800.0
    down: float = 800.0
    reliability: float = 0.99
    disk: float = 500.0
    cuda: float = 12.8
    place: str = "Sweden, SE"
    min_bid: float = 0.1
    verified: bool = True
    rented: bool = False
    withdrawn: bool = False

    def __post_init__(self) -> None:
        self.machine_id = self.machine_id or self.id + 10_000

    def storage_dph(self, disk_gb: float) -> float:
        """Dollars an hour for so much storage."""
        return self.storage_cost * disk_gb / MONTH_HOURS

    def row(self, storage_gb: float, *, bid: bool) -> dict[str, Any]:
        """As a search shows it, priced with so much storage."""
        base = self.min_bid if bid else self.dph
        storage = self.storage_dph(storage_gb)
        return {
            "id": self.id,
            "ask_contract_id": self.id,
            "bundle_id": self.id,
            "machine_id": self.machine_id,
            "host_id": self.machine_id % 100,
            "gpu_name": self.gpu,
            "num_gpus": self.gpus,
            "gpu_ram": self.gpu_ram,
            "gpu_total_ram": self.gpu_ram * self.gpus,
            "gpu_frac": 1.0,
            "gpu_display_active": False,
            "cpu_name": "EPYC 7B13",
            "cpu_cores": 32,
            "cpu_cores_effective": 16.0,
            "cpu_ram": 128_000,
            "cpu_arch": "amd64",
            "compute_cap": 890,
            "cuda_max_good": self.cuda,
            "driver_version": "570.86.15",
            "disk_space": self.disk,
            "disk_bw": 3000.0,
            "inet_up": self.up,
            "inet_down": self.down,
            "inet_up_cost": self.up_cost,
            "inet_down_cost": self.down_cost,
            "storage_cost": self.storage_cost,
            "storage_total_cost": storage,
            "dph_base": base,
            "dph_total": base + storage,
            "search": {"gpuCostPerHour": base, "diskHour": storage, "totalHour": base + storage},
            "min_bid": self.min_bid,
            "is_bid": bid,
            "reliability": self.reliability,
            "reliability2": self.reliability,
            "dlperf": 90.0,
            "dlperf_per_dphtotal": 90.0 / (base + storage),
            "score": 100.0 / (base + storage),
            "geolocation": self.place,
            "duration": 30 * 86_400.0,
            "direct_port_count": 100,
            "static_ip": True,
            "external": False,
            "verified": self.verified,
            "verification": "verified" if self.verified else "unverified",
            "rentable": not (self.rented or self.withdrawn),
            "rented": self.rented,
        }


_OPERATIONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda have, want: bool(have == want),
    "neq": lambda have, want: bool(have != want),
    "gt": lambda have, want: bool(have > want),
    "gte": lambda have, want: bool(have >= want),
    "lt": lambda have, want: bool(have < want),
    "lte": lambda have, want: bool(have <= want),
    "in": lambda have, want: have in want,
    "notin": lambda have, want: have not in want,
}

_NO_FILTERS: Final = frozenset({"order", "type", "limit", "allocated_storage", "disable_bundling", "resource_type"})


class QueryError(ValueError):
    """A filter that the API does not know."""


def matches(row: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a row passes all filters; a filter on what no row has lets nothing through.

    Raises:
        QueryError: a filter is not of the form {field: {operation: value}}.
    """
    for name, asked in query.items():
        if name in _NO_FILTERS:
            continue
        if not isinstance(asked, dict) or not set(asked) <= set(_OPERATIONS):
            raise QueryError(f"no such filter: {name}: {asked!r}")
        if name not in row or not all(_OPERATIONS[how](row[name], _like(row[name], v)) for how, v in asked.items()):
            return False
    return True


def _like(have: Any, want: Any) -> Any:
    """What is asked for, as a value of the row: the SDK sends the numbers of a query as words."""
    if isinstance(want, list):
        return [_like(have, each) for each in want]
    if isinstance(want, str) and isinstance(have, bool):
        return want.lower() == "true"
    return float(want) if isinstance(want, str) and isinstance(have, int | float) else want


def search(offers: Iterable[Offer], query: Mapping[str, Any], *, as_free: bool = False) -> list[dict[str, Any]]:
    """The rows that a query finds, in its order; `as_free` shows the rented ones as if they were not."""
    rows = []
    for each in offers:
        row = each.row(float(query.get("allocated_storage", 5.0)), bid=query.get("type") == "bid")
        if as_free:
            row |= {"rented": False, "rentable": True}
        if matches(row, query):
            rows.append(row)
    for name, direction in reversed(query.get("order") or []):
        rows.sort(key=lambda row: row.get(name, 0), reverse=direction == "desc")
    limit = query.get("limit")
    return rows[: int(limit)] if limit else rows
