"""Rows as Vast.ai's API gives them, for tests: an offer, an instance, a page; and orders that rent."""

from __future__ import annotations

from typing import Any

from lib.market.base import HostWants, MarketOffer, RentOrder

WANTS = HostWants(disk_gb=60, max_dph=1_000_000)

ORDER = RentOrder(
    label="job-runner/pab/intent0001/77/1900000000",
    image="ubuntu:24.04",
    disk_gb=60,
    public_key="ssh-ed25519 AAAA job-runner",
    onstart="echo started",
    env={"NAMESPACE": "pab"},
)


def offer(offer_id: int = 11, **fields: Any) -> dict[str, Any]:
    """A good offer of 40 cents an hour."""
    return {
        "id": offer_id,
        "machine_id": offer_id * 10,
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "gpu_ram": 24564,
        "dph_base": 0.4,
        "dph_total": 0.42,
        "min_bid": 0.2,
        "storage_cost": 0.15,
        "inet_up_cost": 0.01,
        "inet_down_cost": 0.005,
        "inet_up": 800.5,
        "inet_down": 900,
        "reliability": 0.991,
        "disk_space": 500.0,
        "cuda_max_good": 12.8,
        "geolocation": "Sweden, SE",
        "rentable": True,
        "rented": False,
        **fields,
    }


def instance(instance_id: int = 7, **fields: Any) -> dict[str, Any]:
    """One that runs and can be connected to."""
    return {
        "id": instance_id,
        "label": ORDER.label,
        "machine_id": 110,
        "actual_status": "running",
        "cur_state": "running",
        "intended_status": "running",
        "status_msg": "success, running",
        "ssh_host": "ssh4.example.org",
        "ssh_port": 20022,
        "dph_total": 0.42,
        "start_date": 1_800_000_000.5,
        "extra_env": [],
        **fields,
    }


def page(*rows: dict[str, Any], total: int | None = None, then: str | None = None) -> dict[str, Any]:
    """A page of the list; `total` counts all instances of the account, where it is given."""
    counted = {} if total is None else {"total_instances": total}
    return {"success": True, "instances": list(rows), "next_token": then, **counted}


def market_offer(offer_id: str = "11", **fields: Any) -> MarketOffer:
    """The same offer in our words."""
    known: dict[str, Any] = {
        "machine_id": "110", "gpu": "RTX 4090", "gpus": 1, "gpu_memory_gb": 24.0, "dph": 400_000, "disk_gb": 500.0,
        "reliability": 0.99,
    }  # fmt: skip
    return MarketOffer(id=offer_id, **{**known, **fields})
