"""What `doctor` says of the markets: is the key good, is there money, is there a cap; of what is set up alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_runner.service.doctor.renting import renting_checks
from tests.fakes.vast_faults import Rule
from tests.fakes.vast_server import FakeVast
from tests.support.running import settings_in

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k3y-that-nobody-is-shown"


async def _said(home: Path, **environ: str) -> list[tuple[str, str, str]]:
    checks = await renting_checks(settings_in(home, **environ))
    assert all(bool(check.mend) == (check.state != "ok") for check in checks)
    assert KEY not in str(checks)
    return [(check.name, check.state, check.found) for check in checks]


async def test_nothing_is_said_where_nothing_is_set_up(tmp_path: Path) -> None:
    """And no market is asked."""
    assert await _said(tmp_path) == []


async def test_hosts_of_your_own(tmp_path: Path) -> None:
    """They are named; nobody is asked, and no budget is needed."""
    assert await _said(tmp_path, SSH_HOSTS="a.example,me@b.example:2222") == [
        ("ssh", "ok", "2 hosts of your own: a.example, me@b.example:2222")
    ]


async def test_a_key_that_is_good(tmp_path: Path) -> None:
    """With what the account has; without a cap nothing is rented all the same."""
    with FakeVast(credit=12.5) as fake:
        environ = {"VAST_API_KEY": KEY, "VAST_URL": fake.url}
        good = ("vast", "ok", "the key is valid, and the account has $12.50")
        assert await _said(tmp_path, **environ, BUDGET_PER_DAY_USD="1") == [good]
        assert await _said(tmp_path, **environ) == [good, ("vast", "note", "nothing is rented without a cap")]


@pytest.mark.parametrize("fault", ["401", "html"])
async def test_a_market_that_does_not_take_it(tmp_path: Path, fault: str) -> None:
    """Its word, and what to do about it; never the key."""
    with FakeVast() as fake:
        fake.script(Rule(fault, times=None))
        ((name, state, found),) = await _said(tmp_path, VAST_API_KEY=KEY, VAST_URL=fake.url, BUDGET_PER_DAY_USD="1")
    assert (name, state) == ("vast", "wrong")
    assert found


async def test_an_account_without_money(tmp_path: Path) -> None:
    """A good key alone rents nothing."""
    with FakeVast(credit=0.0) as fake:
        said = await _said(tmp_path, VAST_API_KEY=KEY, VAST_URL=fake.url, BUDGET_PER_DAY_USD="1")
    assert said == [("vast", "wrong", "the key is valid, and the account has no money")]
