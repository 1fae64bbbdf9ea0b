"""The real client library on the fake market: with one try a call, so that a test sees each reply as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vastai.sdk import VastAI  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from tests.fakes.vast_server import FakeVast


def sdk(market: FakeVast, key: str = "k") -> Any:
    """A client with this API key."""
    return VastAI(api_key=key, server_url=market.url, retry=1)


def create(market: FakeVast, offer: int = 101, key: str = "k", **words: Any) -> int:
    """Rent it; the instance's id."""
    made = sdk(market, key).create_instance(offer, **{"image": "some/image", "disk": 60, **words})
    return int(made["new_contract"])


def listed(market: FakeVast, key: str = "k") -> list[dict[str, Any]]:
    """All rows, page by page."""
    rows, token = list[dict[str, Any]](), None
    while True:
        page = sdk(market, key).show_instances_v1({"limit": 25, **({"after_token": token} if token else {})})
        rows += page["instances"]
        token = page["next_token"]
        if not token:
            assert len(rows) == page["total_instances"]
            return rows
