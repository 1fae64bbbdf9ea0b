"""The search that is sent: the user's words, and ours where he is silent."""

from __future__ import annotations

import pytest

from lib.errors import SettingsError
from lib.market.base import HostWants
from lib.market.vast_query import check_query, named_fields, search_query

FIELDS = {"gpu_name", "num_gpus", "reliability", "disk_space", "dph", "dph_total", "rented", "geolocation", "cuda_vers"}


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("", "rented=false disk_space>=60 dph<=0.5"),
        ("num_gpus=1", "num_gpus=1 rented=false disk_space>=60 dph<=0.5"),
        ("disk_space>=200", "disk_space>=200 rented=false dph<=0.5"),
        ("dph_total<0.3 rented=any", "dph_total<0.3 rented=any disk_space>=60"),
        ("geolocation in [SE,DE]", "geolocation in [SE,DE] rented=false disk_space>=60 dph<=0.5"),
    ],
)
def test_what_a_query_does_not_say_is_added(query: str, sent: str) -> None:
    """Each of the three alone; a field that it names is left to it."""
    assert search_query(HostWants(disk_gb=60, max_dph=500_000, query=query)) == sent


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("gpu_name=RTX_4090 reliability>0.98", {"gpu_name", "reliability"}),
        ("gpu_name in [RTX_4090,RTX_3090] num_gpus == 1", {"gpu_name", "num_gpus"}),
        ("geolocation not in [CN,VN]", {"geolocation"}),
        ('gpu_name="RTX 4090"', {"gpu_name"}),
        ("num_gpus >=2 cuda_vers>=12.1", {"num_gpus", "cuda_vers"}),
        ("", set()),
    ],
)
def test_the_fields_that_a_query_compares(query: str, names: set[str]) -> None:
    """Names, not values."""
    assert named_fields(query) == names
    check_query(query, FIELDS)


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ("gpu_nme=RTX_4090", "gpu_nme is no field", "did you mean gpu_name"),
        ("zzz>1", "zzz is no field", "search offers --help"),
        ("georegion=true geolocation=EU", "georegion is not understood here", "geolocation in"),
    ],
)
def test_a_query_that_would_find_nothing_is_refused(query: str, message: str, hint: str) -> None:
    """With the field and the mend."""
    with pytest.raises(SettingsError, match=message) as caught:
        check_query(query, FIELDS)
    assert hint in (caught.value.hint or "")


def test_what_the_parser_says_is_handed_on() -> None:
    """It knows its own language best."""
    with pytest.raises(SettingsError, match="not understood: Unknown operator"):
        check_query("num_gpus=1", FIELDS, "Unknown operator")
