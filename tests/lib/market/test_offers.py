"""Which machine is cheapest for a batch: by example, and what must hold of any offers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.market.base import MarketOffer
from lib.market.offers import BatchNeeds, Ranked, RentHistory, best, bid, rank
from tests.lib.market.rows import market_offer

BATCH = BatchNeeds(characters=900_000, disk_gb=60, max_dph=1_000_000)
HISTORY = RentHistory(speeds={"RTX 4090": 500.0, "RTX 3060": 125.0}, usual_start=200.0, usual_speed=250.0)

MONEY = st.integers(1, 2_000_000)
OFFERS = st.builds(
    MarketOffer,
    id=st.integers(1, 999).map(str),
    machine_id=st.integers(1, 9).map(str),
    gpu=st.sampled_from(["RTX 4090", "RTX 3060", "Unseen", ""]),
    gpus=st.integers(0, 8),
    gpu_memory_gb=st.floats(0, 96),
    dph=MONEY,
    storage_gb_hour=st.integers(0, 1000),
    upload_gb=st.integers(0, 50_000),
    download_gb=st.integers(0, 50_000),
    reliability=st.floats(0, 1),
    up_mbps=st.floats(0, 10_000),
    down_mbps=st.floats(0, 10_000),
    disk_gb=st.floats(0, 1000),
    cuda=st.sampled_from(["", "11.8", "12.4", "13.0"]),
    interruptible=st.booleans(),
    min_bid=st.integers(0, 500_000),
)
BATCHES = st.builds(
    BatchNeeds,
    characters=st.integers(0, 10_000_000),
    disk_gb=st.floats(8, 500),
    max_dph=MONEY,
    image_gb=st.floats(0, 30),
    down_gb=st.floats(0, 30),
    up_gb=st.floats(0, 30),
    gpu_memory_gb=st.floats(0, 80),
    cuda=st.sampled_from(["", "12.1"]),
)


def _one(offer: MarketOffer, batch: BatchNeeds = BATCH, history: RentHistory = HISTORY) -> Ranked:
    (ranked,) = rank([offer], batch, history)
    return ranked


def test_the_dollars_of_a_batch_add_up() -> None:
    """Half an hour of work at a measured speed, two hundred seconds to start, storage, and traffic both ways."""
    offer = market_offer(dph=360_000, reliability=1.0, storage_gb_hour=0, upload_gb=10_000, download_gb=5_000)
    ranked = _one(offer, replace(BATCH, up_gb=2, down_gb=4))
    assert (ranked.start_seconds, ranked.work_seconds, ranked.starts, ranked.measured) == (200.0, 1800.0, 1.0, True)
    assert (ranked.traffic, ranked.cost, ranked.refused) == (40_000, 200_000 + 40_000, "")
    assert ranked.why == (
        "$0.2400: 3.3 min to start (1.00 times), 30.0 min of work at 500 characters a second, measured, "
        "at $0.3600 an hour, and $0.0400 of traffic"
    )


def test_a_faster_machine_is_cheaper_for_much_and_a_cheaper_one_for_little() -> None:
    """The price an hour alone says nothing."""
    fast = market_offer("1", dph=600_000)
    slow = market_offer("2", gpu="RTX 3060", dph=200_000)
    assert [each.offer.id for each in rank([slow, fast], BATCH, HISTORY)] == ["1", "2"]
    assert [each.offer.id for each in rank([slow, fast], replace(BATCH, characters=1000), HISTORY)] == ["2", "1"]


def test_a_machine_that_starts_late_costs_more() -> None:
    """What was measured of that machine goes before what was measured of its kind, and that before what is usual."""
    history = replace(HISTORY, machine_starts={"m1": 60.0}, gpu_starts={"RTX 4090": 600.0})
    offers = [market_offer("1", machine_id="m1"), market_offer("2", machine_id="m2"), market_offer("3", gpu="Unseen")]
    starts = {each.offer.id: each.start_seconds for each in rank(offers, BATCH, history)}
    assert starts == {"1": 60.0, "2": 600.0, "3": 200.0}


def test_the_image_is_loaded_where_no_start_was_measured() -> None:
    """Ten GB at 800 Mbit/s are a hundred seconds; a measured start had them in it."""
    batch = replace(BATCH, image_gb=10)
    assert _one(market_offer(down_mbps=800.0), batch).start_seconds == 300.0
    measured = replace(HISTORY, gpu_starts={"RTX 4090": 150.0})
    assert _one(market_offer(down_mbps=800.0), batch, measured).start_seconds == 150.0


def test_a_machine_that_may_be_taken_away_is_started_more_often() -> None:
    """So at the same price the other one is better, and at half the price it is not."""
    stays, goes = market_offer("1"), market_offer("2", interruptible=True)
    assert [each.offer.id for each in rank([goes, stays], BATCH, HISTORY)] == ["1", "2"]
    assert [each.offer.id for each in rank([replace(goes, dph=200_000), stays], BATCH, HISTORY)] == ["2", "1"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"machine_id": "bad"}, "left out for a while: it never started"),
        ({"dph": 999_999, "storage_gb_hour": 100}, "$1.0060 an hour is more than VAST_MAX_DPH, $1.0000"),
        ({"gpu_memory_gb": 8.0}, "8 GB of GPU memory, 12 are needed"),
        ({"disk_gb": 40.0}, "40 GB of disk, VAST_DISK asks for 60"),
        ({"reliability": 0.3}, "reliability 0.30 is below 0.5"),
        ({"cuda": "11.8"}, "its driver knows CUDA 11.8, 12.1 is needed"),
        ({"gpu_memory_gb": 0.0, "disk_gb": 0.0, "cuda": ""}, ""),
        ({"cuda": "12.10"}, ""),
    ],
)
def test_who_is_refused_and_why(fields: dict[str, Any], reason: str) -> None:
    """Each with its own reason; what is not known of a machine is not held against it."""
    history = replace(HISTORY, excluded={"bad": "it never started"})
    ranked = _one(market_offer(**fields), replace(BATCH, gpu_memory_gb=12, cuda="12.1"), history)
    assert ranked.refused == reason


def test_what_to_bid() -> None:
    """A quarter above the least, within what is allowed; never below the least, which would get nothing."""
    offer = market_offer(dph=200_000, min_bid=200_000, storage_gb_hour=1000)
    assert bid(offer, 1_000_000, 60) == 250_000
    assert bid(offer, 280_000, 60) == 220_000
    assert bid(offer, 100_000, 60) == 200_000


@given(st.lists(OFFERS, max_size=6), BATCHES)
def test_every_offer_is_told_and_the_cheapest_that_may_be_taken_is_first(
    offers: list[MarketOffer], batch: BatchNeeds
) -> None:
    """None is lost; refused ones come last; costs rise; the order does not depend on how the offers came."""
    ranked = rank(offers, batch, HISTORY)
    assert sorted(each.offer.id for each in ranked) == sorted(each.id for each in offers)
    taken = [each for each in ranked if not each.refused]
    assert ranked[: len(taken)] == taken
    assert [each.cost for each in taken] == sorted(each.cost for each in taken)
    assert best(ranked) == (taken[0] if taken else None)
    again = rank(list(reversed(offers)), batch, HISTORY)
    assert [(each.cost, bool(each.refused)) for each in again] == [(each.cost, bool(each.refused)) for each in ranked]


@given(OFFERS, BATCHES)
def test_nothing_dearer_than_allowed_or_excluded_is_ever_taken(offer: MarketOffer, batch: BatchNeeds) -> None:
    """The limits are hard, storage included."""
    history = replace(HISTORY, excluded={"3": "it hung"})
    ranked = _one(offer, batch, history)
    if not ranked.refused:
        assert offer.machine_id != "3"
        assert offer.hourly(batch.disk_gb) <= batch.max_dph
        assert offer.reliability >= 0.5


@given(OFFERS, BATCHES, st.integers(1, 100_000))
def test_what_makes_a_machine_worse_never_makes_it_cheaper(offer: MarketOffer, batch: BatchNeeds, more: int) -> None:
    """Dearer by the hour, by storage or by traffic, less reliable, or more to do."""
    cost = _one(offer, batch).cost
    assert isinstance(cost, int)
    assert cost >= 0
    for worse in (
        replace(offer, dph=offer.dph + more),
        replace(offer, storage_gb_hour=offer.storage_gb_hour + more),
        replace(offer, upload_gb=offer.upload_gb + more),
        replace(offer, download_gb=offer.download_gb + more),
        replace(offer, reliability=offer.reliability / 2),
        replace(offer, interruptible=True),
    ):
        assert _one(worse, batch).cost >= cost
    assert _one(offer, replace(batch, characters=batch.characters + more)).cost >= cost


@given(OFFERS, BATCHES, st.floats(1.0, 100.0))
def test_a_faster_measurement_never_makes_it_dearer(offer: MarketOffer, batch: BatchNeeds, factor: float) -> None:
    """And what is assumed of a GPU is less than the usual one's."""
    slow = RentHistory(speeds={offer.gpu: 100.0})
    fast = RentHistory(speeds={offer.gpu: 100.0 * factor})
    assert _one(offer, batch, fast).cost <= _one(offer, batch, slow).cost
    usual = RentHistory(speeds={offer.gpu: RentHistory().usual_speed})
    assert _one(offer, batch, RentHistory()).cost >= _one(offer, batch, usual).cost
