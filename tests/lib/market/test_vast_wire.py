"""What the API says, in our words: every status, odd figures, addresses that are none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.market.base import MarketOffer, Status
from lib.market.errors import UnknownListingError
from lib.market.vast_wire import LONGEST_MESSAGE, Pages, money, number, offer_of, seen_of, status_of, whole, words
from tests.lib.market.rows import instance, offer

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

STATUSES: list[tuple[str | None, str | None, str | None, str, Status]] = [
    ("running", "running", "running", "", "running"),
    ("running", None, "running", "", "running"),
    ("Running", "running", "running", "", "running"),
    ("running", "loading", "running", "", "loading"),
    (None, "running", "running", "", "loading"),
    (None, None, None, "", "loading"),
    (None, "stopped", "stopped", "", "loading"),
    (None, "stopped", "stopped", "no room", "stopped"),
    ("created", "running", "running", "", "loading"),
    ("loading", "running", "running", "Pulling fs layer", "loading"),
    ("scheduling", "running", "running", "", "loading"),
    ("loading", "running", "running", "Error response from daemon: no such image", "exited"),
    ("created", "running", "running", "OCI runtime create failed: nvidia", "exited"),
    ("loading", "stopped", "running", "", "stopped"),
    ("running", "stopped", "running", "", "stopped"),
    ("running", "running", "stopped", "", "stopped"),
    ("exited", "stopped", "stopped", "", "stopped"),
    ("exited", "running", "running", "", "exited"),
    ("stopped", "running", "running", "", "stopped"),
    ("offline", "running", "running", "", "offline"),
    ("offline", "stopped", "stopped", "", "offline"),
    ("unknown", "running", "running", "", "unknown"),
    ("frozen", "running", "running", "", "unknown"),
]


@pytest.mark.parametrize(("actual", "contract", "intended", "message", "status"), STATUSES)
def test_how_an_instance_is(
    actual: str | None, contract: str | None, intended: str | None, message: str, status: Status
) -> None:
    """The container, the contract and the owner's wish together; a contract that stands still is stopped."""
    row = {"actual_status": actual, "cur_state": contract, "intended_status": intended, "status_msg": message}
    assert status_of(row) == status


def test_an_offer_in_our_words() -> None:
    """Prices in millionths, storage by the hour, memory in GB."""
    assert offer_of(offer(), interruptible=False) == MarketOffer(
        id="11",
        machine_id="110",
        gpu="RTX 4090",
        gpus=1,
        gpu_memory_gb=24.564,
        dph=400_000,
        storage_gb_hour=209,
        upload_gb=10_000,
        download_gb=5_000,
        reliability=0.991,
        up_mbps=800.5,
        down_mbps=900.0,
        disk_gb=500.0,
        cuda="12.8",
        place="Sweden, SE",
        interruptible=False,
        min_bid=200_000,
    )


def test_storage_is_priced_as_the_market_does() -> None:
    """Sixty GB at fifteen cents a GB and month are a cent and a quarter an hour."""
    found = offer_of(offer(), interruptible=False)
    assert found is not None
    assert found.hourly(60) == pytest.approx(400_000 + 12_500, abs=60)


@pytest.mark.parametrize(
    "row",
    [
        offer(rentable=False),
        offer(rented=True),
        offer(dph_base=None, dph_total=None),
        offer(dph_base=0, dph_total=0),
        offer(dph_base=-1),
        offer(dph_base=math.nan),
        offer(dph_base="0.4"),
        offer(id="11"),
        offer(id=True),
        offer(machine_id=None),
        None,
        [],
        "offer",
    ],
)
def test_what_cannot_be_rented_is_no_offer(row: Any) -> None:
    """Without a price or a name, or rented already."""
    assert offer_of(row, interruptible=False) is None


def test_without_a_base_price_the_total_is_the_price() -> None:
    """It has some storage in it, so it is no lower than the truth."""
    found = offer_of(offer(dph_base=None), interruptible=False)
    assert found is not None
    assert found.dph == 420_000


def test_an_offer_of_which_little_is_known_promises_nothing() -> None:
    """What is missing counts as nothing, a reliability too."""
    found = offer_of({"id": 1, "machine_id": 2, "dph_base": 0.1}, interruptible=False)
    assert found is not None
    assert (found.reliability, found.disk_gb, found.gpu_memory_gb, found.gpu) == (0.0, 0.0, 0.0, "")


@pytest.mark.parametrize(
    ("host", "port", "there"),
    [
        ("ssh4.example.org", 20022, True),
        ("ssh4.example.org", "20022", True),
        ("2001:db8::7", 22, True),
        ("ssh4.example.org", 0, False),
        ("ssh4.example.org", 65536, False),
        ("ssh4.example.org", None, False),
        ("ssh4.example.org", True, False),
        ("-oProxyCommand=x", 22, False),
        ("a b", 22, False),
        ("", 22, False),
        (None, 22, False),
    ],
)
def test_only_what_can_be_an_address_is_one(host: Any, port: Any, *, there: bool) -> None:
    """A host that would be an option of ssh is none."""
    seen = seen_of(instance(ssh_host=host, ssh_port=port))
    assert seen is not None
    assert (seen.address is not None) == there


def test_odd_figures_do_not_hide_an_instance() -> None:
    """It may cost something, so it is shown without them."""
    seen = seen_of(instance(dph_total="?", start_date=-5, machine_id="x", status_msg=7, label=None))
    assert seen is not None
    assert (seen.dph, seen.started_at, seen.machine_id, seen.message, seen.label) == (0, None, "", "", "")


def test_a_message_is_one_line_that_is_not_too_long() -> None:
    """It is shown to people, and may hold anything."""
    assert words("a\x1b[31m\n b\tc") == "a [31m b c"
    assert len(words("x" * 9999)) == LONGEST_MESSAGE


def test_of_a_message_without_end_only_its_beginning_is_looked_at() -> None:
    """What shows an instance must not keep a watcher busy for seconds: its session would end meanwhile."""

    class Counted(str):
        __slots__ = ()

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("all of it is gone through")

    assert words(Counted("m" * 10_000)) == "m" * LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("host", "port"), [("h", "9" * 5000), ("h", "9" * 20), ("h\n", 22), ("h\n", "22"), ("h", 10**6), ("h", "\u00b2")]
)
def test_an_address_that_is_none_is_no_address(host: str, port: int | str) -> None:
    """Whatever stands there, the instance itself is shown: it may be billing."""
    seen = seen_of(instance(ssh_host=host, ssh_port=port))
    assert seen is not None
    assert seen.address is None


@pytest.mark.parametrize("storage", [None, "0.15", -1, {}])
def test_storage_of_an_unknown_price_is_what_the_total_has_beside_the_base(storage: object) -> None:
    """It is not free: the total was asked for with the disk that is wanted."""
    found = offer_of(offer(storage_cost=storage), interruptible=False)
    assert found is not None
    assert found.dph == 420_000
    told = offer_of(offer(storage_cost=0), interruptible=False)
    assert told is not None
    assert told.dph == 400_000


@given(JSON)
def test_nothing_that_is_json_breaks_the_reader(value: Any) -> None:
    """Rows and pages of any shape: a value of ours, None, or the one error."""
    offer_of(value, interruptible=False)
    seen_of(value)
    try:
        token = Pages().add(value)
    except UnknownListingError:
        return
    assert token is None or isinstance(token, str)


@given(st.sampled_from(sorted(instance())), JSON)
def test_no_field_breaks_the_reader(name: str, value: Any) -> None:
    """Each field may be anything: the instance is shown, or is said to be none."""
    seen = seen_of(instance() | {name: value})
    assert seen is None or (seen.market_id and seen.dph >= 0)


@given(st.sampled_from(sorted(offer())), JSON)
def test_no_field_of_an_offer_breaks_the_reader(name: str, value: Any) -> None:
    """Nor does one of them make it free of charge."""
    found = offer_of(offer() | {name: value}, interruptible=False)
    assert found is None or found.dph > 0


@given(st.integers(0, 10**9))
def test_money_goes_to_millionths_and_back(micro: int) -> None:
    """What was whole stays so."""
    assert money(micro / 1_000_000) == micro


def test_numbers_are_finite_and_ids_positive() -> None:
    """True is no number, and neither is what is endless."""
    odd = (-1, True, math.inf, math.nan, 10**400, "1", None)
    assert [number(each) for each in (1, 0.5, *odd)] == [1, 0.5, *[None] * len(odd)]
    assert [whole(each) for each in (1, 0, 1.0, *odd)] == [1, *[None] * (len(odd) + 2)]
