"""What `doctor` says of the markets: is the key good, is there money, is there a cap; of what is set up alone."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from job_runner.service.doctor import renting
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
    """Each is looked at: who greets like an sshd is there, and nobody logs in; no budget is needed."""

    async def greet(greeting: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with (
        await asyncio.start_server(lambda _, w: greet(b"SSH-2.0-x\r\n", w), "127.0.0.1") as good,
        await asyncio.start_server(lambda _, w: greet(b"220 mail\r\n", w), "127.0.0.1") as odd,
    ):
        ports = [each.sockets[0].getsockname()[1] for each in (good, odd)]
        hosts = [f"me@127.0.0.1:{port}" for port in (*ports, 1)]
        said = await _said(tmp_path, SSH_HOSTS=",".join(hosts))
    assert [(name, state) for name, state, _ in said] == [("ssh", "ok"), ("ssh", "wrong"), ("ssh", "wrong")]
    assert said[0][2].startswith(f"{hosts[0]} answers")
    assert said[1][2] == f"{hosts[1]}: what answers there is no sshd"
    assert said[2][2].startswith(hosts[2])


@pytest.mark.parametrize("host", ["desk..example", f"{'d' * 64}.example"])
async def test_a_name_that_no_host_can_have(tmp_path: Path, host: str) -> None:
    """Nothing can be asked by it: that is what is wrong, and the rest is checked all the same."""
    ((name, state, found),) = await _said(tmp_path, SSH_HOSTS=host)
    assert (name, state) == ("ssh", "wrong")
    assert found.startswith(f"{host}: ")


async def test_a_host_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is switched off takes no connection, and refuses none."""
    monkeypatch.setattr(renting, "HOST_SECONDS", 0.1)
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    async with await asyncio.start_server(hold, "127.0.0.1") as dumb:
        host = f"127.0.0.1:{dumb.sockets[0].getsockname()[1]}"
        assert await _said(tmp_path, SSH_HOSTS=host) == [("ssh", "wrong", f"{host}: no answer within 0.1 s")]
        for writer in held:
            writer.close()


async def test_what_is_not_installed_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As this checkout installs it: an index may hold something else under our name."""
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    for setting, extra in (({"SSH_HOSTS": "desk2"}, "ssh"), ({"VAST_API_KEY": KEY}, "vast")):
        (check,) = await renting_checks(settings_in(tmp_path, **setting))
        assert (check.state, check.found) == ("wrong", "asyncssh is not installed")
        assert check.mend is not None
        assert check.mend.endswith(f"--editable '.[{extra}]'")


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
