"""One fake market for each file, and renters on the shared server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from tests.fakes.vast_server import FakeVast
from tests.lib.renting.renters import Renter, adapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lib.market.vast import VastMarket
    from tests.support.servers import RealServer


@pytest.fixture(scope="module")
def shared_fake() -> Iterator[FakeVast]:
    """A market without hosts; the SDK is imported before any call has a deadline."""
    importlib.import_module("vastai")
    with FakeVast() as market:
        yield market


@pytest.fixture
def fake(shared_fake: FakeVast) -> Iterator[FakeVast]:
    """Nothing is rented or scripted in it."""
    yield shared_fake
    shared_fake.forget()
    for each in shared_fake.living:
        shared_fake.act("end", each.id)


@pytest.fixture
def vast(fake: FakeVast) -> VastMarket:
    """The house's adapter of it."""
    return adapter(fake)


@pytest.fixture
async def renter(valkey: RealServer, prefix: str) -> AsyncIterator[Renter]:
    """One who rents."""
    made = await Renter.on(valkey.url, prefix)
    yield made
    await made.aclose()


@pytest.fixture
async def other(valkey: RealServer, prefix: str) -> AsyncIterator[Renter]:
    """Another one, on the same queue."""
    made = await Renter.on(valkey.url, prefix, "other")
    yield made
    await made.aclose()
