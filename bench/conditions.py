"""Under what conditions a run was made: the machine, the versions, the day. Figures without them say little."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench.stand import standing

if TYPE_CHECKING:
    from bench.sizes import Sizes

PACKAGES = ("redis", "hiredis", "uvloop")


async def conditions(sizes: Sizes, *, quick: bool) -> dict[str, str]:
    """Name -> what, in the order in which a person would ask."""
    async with standing() as stand:
        server = stand.info("server")
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "run": "quick" if quick else "full",
        "repeats": str(sizes.repeats),
        "cores": str(len(os.sched_getaffinity(0))),
        "CPU": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load at start": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "server": f"{server.get('server_name', 'redis')} {server.get('valkey_version', server.get('redis_version'))}, "
        "AOF every second, on loopback",
    }
    return found | {name: text for name in PACKAGES if (text := _version(name))}


def _processor() -> str:
    """The model, as the kernel calls it."""
    named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return named[1] if named else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
