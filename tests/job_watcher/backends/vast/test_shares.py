"""A job's share of a rented machine's bill: of its seconds and its bytes, and never more than the machine's time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_watcher.backends.vast.shares import MachinePrice, share_of
from lib.market.base import MarketOffer
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_an_hour_costs_what_an_hour_costs() -> None:
    """And the record says which machine's bill it is a share of."""
    assert share_of("cafe0000cafe", MachinePrice(360_000), seconds=100.0, sent_bytes=10**9) == {
        "usd": 0.01,
        "share_of": "cafe0000cafe",
        "seconds": 100.0,
        "usd_per_hour": 0.36,
    }


def test_what_its_files_cost_on_their_way_is_in_it_and_beside_it() -> None:
    """Where the market has a price for bytes that leave the machine."""
    offer = MarketOffer("7", "70", "RTX_4090", 1, 24.0, 350_000, storage_gb_hour=100, upload_gb=20_000)
    price = MachinePrice.of(offer, 360_000)
    share = share_of("cafe0000cafe", price, seconds=10.0, sent_bytes=50_000_000)
    assert (share["usd"], share["traffic_usd"]) == (pytest.approx(0.002), 0.001)


def test_a_machine_of_ones_own_costs_nothing() -> None:
    """The record says so, and how long it was at work."""
    assert share_of("cafe0000cafe", MachinePrice(), seconds=2.0, sent_bytes=9**9)["usd"] == 0.0
    assert share_of("cafe0000cafe", MachinePrice(360_000), seconds=-0.001)["seconds"] == 0.0


@given(st.lists(st.floats(0.0, 3600.0), max_size=50), st.integers(0, 50_000_000))
def test_shares_are_never_more_than_the_machines_time(jobs: Sequence[float], hourly: int) -> None:
    """However they are rounded: a report must not say more than the bill."""
    whole = sum(share_of("cafe0000cafe", MachinePrice(hourly), seconds=each)["usd"] for each in jobs)
    assert round(whole * MICRO) <= hourly * sum(jobs) / 3600.0 + 1e-6
