"""Under what conditions a run was made: the machine, the versions, the day. Figures without them say little."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import BUSY
from bench.stand import standing

if TYPE_CHECKING:
    from bench.sizes import Sizes

PACKAGES = ("redis", "hiredis", "uvloop")
QUIET_LOAD = 0.25
"""Load average for each core up to which a machine has nothing else to do: 0.5 on two."""


async def conditions(sizes: Sizes, *, quick: bool) -> dict[str, str]:
    """Name -> what, in the order in which a person would ask."""
    load = os.getloadavg()[0]  # first: the server that is asked is a load too
    async with standing() as stand:
        server = stand.info("server")
    cores = len(os.sched_getaffinity(0))
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "run": "quick" if quick else "full",
        "repeats": str(sizes.repeats),
        "cores": str(cores),
        "CPU": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load at start": f"{load:.2f}",
        **busy(load, cores),
        "Python": platform.python_version(),
        "server": f"{server.get('server_name', 'redis')} {server.get('valkey_version', server.get('redis_version'))}, "
        "AOF every second, on loopback",
    }
    return found | {name: text for name in PACKAGES if (text := _version(name))}


def busy(load: float, cores: int) -> dict[str, str]:
    """The mark of a run that begins on a machine with other work; nothing on a quiet one."""
    most = QUIET_LOAD * cores
    return {BUSY: f"load {load:.2f}, quiet is up to {most:.2f} on {cores} cores"} if load > most else {}


def _processor() -> str:
    """The model, as the kernel calls it."""
    named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return named[1] if named else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
