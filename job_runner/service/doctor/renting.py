"""Machines that are rented, and hosts that are used like them: does the market take our key, is there money and a cap.

Only what is set up is looked at; nothing is rented, and no line shows a key.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Final

from job_runner.service.doctor.checks import Check
from lib import wiring
from lib.calling import install_extra
from lib.clock import SystemClock
from lib.errors import JobRunnerError
from lib.market.ssh import address_of
from lib.money import MICRO

if TYPE_CHECKING:
    from lib.market.base import GpuMarket
    from lib.settings import Settings


HOST_SECONDS: Final = 5.0
"""How long a host of one's own is waited for."""


async def renting_checks(settings: Settings) -> list[Check]:
    """One line for each market that is set up, and one for what would keep it from renting."""
    if not settings.vast_api_key and not settings.ssh_hosts:
        return []
    if importlib.util.find_spec("asyncssh") is None:
        extra = "vast" if settings.vast_api_key else "ssh"
        return [Check("rented", "wrong", "asyncssh is not installed", install_extra(extra))]
    found = list(await asyncio.gather(*map(_answers, settings.ssh_hosts)))
    if settings.vast_api_key:
        found += await _vast(settings)
    return found


async def _answers(host: str) -> Check:
    """Whether an sshd is there; nobody logs in."""
    address = address_of(host)
    try:
        async with asyncio.timeout(HOST_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                greeting = await reader.readexactly(4)
            finally:
                writer.close()
    except asyncio.IncompleteReadError as exc:
        greeting = exc.partial
    except (OSError, TimeoutError, UnicodeError) as exc:
        # The last is a name that cannot be looked up at all, such as one with two dots in a row.
        why = str(exc) or f"no answer within {HOST_SECONDS:g} s"
        return Check("ssh", "wrong", f"{host}: {why}", "see that `ssh` reaches it, or take it out of SSH_HOSTS")
    if greeting != b"SSH-":
        return Check("ssh", "wrong", f"{host}: what answers there is no sshd", "see to the port in SSH_HOSTS")
    return Check("ssh", "ok", f"{host} answers; job-runner must be installed there")


async def _vast(settings: Settings) -> list[Check]:
    try:
        market = wiring.markets(settings, SystemClock())["vast"]
    except JobRunnerError as exc:
        return [Check("vast", "wrong", exc.message, exc.hint or install_extra("vast"))]
    try:
        found = [await _asked(market)]
    finally:
        await market.aclose()
    if settings.budget_per_day_usd is None:
        found.append(Check("vast", "note", "nothing is rented without a cap", "set BUDGET_PER_DAY_USD"))
    return found


async def _asked(market: GpuMarket) -> Check:
    try:
        left = await market.credit()
    except JobRunnerError as exc:
        return Check("vast", "wrong", exc.message, exc.hint or "set VAST_API_KEY to a key that is valid")
    if left is not None and left <= 0:
        return Check("vast", "wrong", "the key is valid, and the account has no money", "add credit at the market")
    money = "" if left is None else f", and the account has ${left / MICRO:.2f}"
    return Check("vast", "ok", f"the key is valid{money}")
