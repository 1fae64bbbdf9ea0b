"""A scripted market, and an adapter that asks it without waiting between calls."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from lib.clock import SystemClock
from lib.market.limiter import Limiter
from lib.market.vast import VastMarket
from tests.lib.market.scripted_market import ScriptedMarket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = "b7f3-the-key-of-an-account"


@pytest.fixture(scope="session")
def sdk() -> None:
    """Half a second to import it, which is not part of any call's deadline here."""
    importlib.import_module("vastai")


@pytest.fixture
async def server() -> AsyncIterator[ScriptedMarket]:
    """The server, with no answer yet."""
    async with ScriptedMarket() as scripted:
        yield scripted


@pytest.fixture
def make(server: ScriptedMarket, sdk: None) -> Callable[..., VastMarket]:  # noqa: ARG001 - loaded before
    """Makes an adapter of that server; `call_seconds` and `patience_seconds` as given."""

    def made(**limits: float) -> VastMarket:
        clock = SystemClock()
        limiter = Limiter(clock, spacing_seconds=0, jitter=lambda: 0.0)
        return VastMarket(KEY, clock=clock, url=server.url, limiter=limiter, **{"patience_seconds": 5.0, **limits})

    return made


@pytest.fixture
def vast(make: Callable[..., VastMarket]) -> VastMarket:
    """One with the usual limits."""
    return make()
