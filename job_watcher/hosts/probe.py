"""Is this host what was paid for? Asked before any input is sent to it.

Driver, memory, free disk, the speed of the line, and what of job-runner is there. A host that answers nonsense is a
host with a problem. Called once an instance is connected.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from job_watcher.hosts.errors import HostAnswerError, HostLostError

if TYPE_CHECKING:
    from job_watcher.hosts.host import Host

# Of the disk that was ordered; the image and the market's own files have taken some of it.
_LEAST_DISK_SHARE: Final = 0.5
_SMALL_BYTES: Final = 128 * 1024
_LARGE_BYTES: Final = 4 * 1024 * 1024
# Quicker than this with the small piece, and the large one is sent for a truer figure.
_QUICK_SECONDS: Final = 0.5
_CARD_FIELDS: Final = 3
_SHOWN: Final = 160

# A driver that is ill hangs, so whatever may hang is cut off. A container's limit of memory is not in /proc/meminfo.
_LOOK: Final = r"""
LC_ALL=C; export LC_ALL
echo "disk $(df -Pk "${HOME:-/}" | awk 'NR == 2 {print $4}')"
echo "memory $(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)"
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  read -r limit 2>/dev/null <"$file" && echo "limit $limit"
done
if command -v python3 >/dev/null 2>&1; then
  echo "python $(timeout 20 python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>&1 | tail -n 1)"
fi
for worker in "$(command -v job-runner)" "$HOME/.job-runner/venv/bin/job-runner" /opt/job-runner/bin/job-runner; do
  if [ -n "$worker" ] && [ -x "$worker" ]; then
    version=$(timeout 30 "$worker" --version 2>/dev/null) && echo "worker $worker" && echo "version $version" && break
  fi
done
if command -v nvidia-smi >/dev/null 2>&1; then
  query=name,driver_version,memory.total
  timeout 20 nvidia-smi --query-gpu=$query --format=csv,noheader,nounits 2>&1 | sed 's/^/smi /'
fi
echo end
"""


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card as its driver tells of it."""

    name: str
    driver: str
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Wants:
    """What a host must have.

    `disk_gb` is what was ordered, of which half must be free. `card`: whether it must have a graphics card that works;
    hosts of one's own need not.
    """

    disk_gb: float
    card: bool = True
    memory_gb: float = 1.0
    least_mbps: float = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found. `problem` says why the host is no use, "" for a good one.

    Speeds in Mbit/s as seen from the watcher: `up_mbps` from the host, `down_mbps` to it. `worker` is the path of
    job-runner there and `version` its version, both "" where there is none; `python` is as `3.12.3`.
    """

    cards: tuple[Card, ...] = ()
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    up_mbps: float = 0.0
    down_mbps: float = 0.0
    python: str = ""
    worker: str = ""
    version: str = ""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether it may be used."""
        return not self.problem


async def probe(host: Host, wants: Wants, seconds: float = 60.0) -> Probe:
    """Look at the host; the line is measured only where all else is well.

    Raises:
        HostLostError: it did not answer in time, or the connection broke.
    """
    try:
        async with asyncio.timeout(seconds):
            try:
                ran = await host.run(["sh", "-c", _LOOK], seconds=seconds)
                found = read_look(ran.out, wants)
                if found.problem:
                    return found
                found = await _measure_line(host, found, seconds)
            except HostAnswerError as exc:
                return Probe(problem=exc.message)
    except TimeoutError as exc:
        raise HostLostError(f"{host.name} was not probed within {seconds:g} s") from exc
    slow = min(found.up_mbps, found.down_mbps)
    if slow < wants.least_mbps:
        return replace(found, problem=f"the line carries {slow:.1f} Mbit/s; {wants.least_mbps:g} are wanted")
    return found


def read_look(text: str, wants: Wants) -> Probe:
    """What the host said of itself, and the first thing that is wrong with it."""
    said = [line.partition(" ")[::2] for line in text.splitlines()]
    one = dict(reversed(said))
    smi = [value for name, value in said if name == "smi"]
    try:
        memory = int(one["memory"]) * 1024
        disk = int(one["disk"]) * 1024
        limits = [int(value) for name, value in said if name == "limit" and value.isdecimal()]
    except (KeyError, ValueError):
        return Probe(problem=f"it says nothing sensible of its memory and disk: {text[:_SHOWN]!r}")
    found = Probe(
        cards=_cards(smi),
        memory_gb=min([memory, *limits]) / 1e9,
        disk_gb=disk / 1e9,
        python=one.get("python", "")[:_SHOWN],
        worker=one.get("worker", ""),
        version=one.get("version", "").removeprefix("job-runner ")[:_SHOWN],
    )
    return replace(found, problem=_problem(found, wants, smi, whole="end" in one))


def _problem(found: Probe, wants: Wants, smi: list[str], *, whole: bool) -> str:
    if not whole:
        return "it broke off in the middle of an answer"
    if wants.card and not found.cards:
        return (
            f"no graphics card works there: {smi[0][:_SHOWN] if smi else 'nvidia-smi is not there, or does not answer'}"
        )
    if found.disk_gb < wants.disk_gb * _LEAST_DISK_SHARE:
        return f"{found.disk_gb:.1f} GB of disk are free, of {wants.disk_gb:g} GB that were ordered"
    if found.memory_gb < wants.memory_gb:
        return f"{found.memory_gb:.1f} GB of memory are free; {wants.memory_gb:g} GB are wanted"
    return ""


def _cards(smi: list[str]) -> tuple[Card, ...]:
    """Each line of the table that is a card; a driver that is ill says a sentence in its place."""
    cards = []
    for line in smi:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == _CARD_FIELDS and re.fullmatch(r"\d+(\.\d+)+", fields[1]):
            cards.append(Card(fields[0][:_SHOWN], fields[1], int(fields[2]) if fields[2].isdecimal() else 0))
    return tuple(cards)


async def _measure_line(host: Host, found: Probe, seconds: float) -> Probe:
    """A small piece each way, and a large one where that was quick; what a command takes by itself is left out."""
    idle = await _timed(host, 0, 0, seconds)
    down = await _rate(host, idle, seconds, up=False)
    return replace(found, up_mbps=await _rate(host, idle, seconds, up=True), down_mbps=down)


async def _rate(host: Host, idle: float, seconds: float, *, up: bool) -> float:
    rate = 0.0
    for size in (_SMALL_BYTES, _LARGE_BYTES):
        taken = await _timed(host, 0 if up else size, size if up else 0, seconds)
        rate = size * 8 / 1e6 / max(taken - idle, taken / 10)
        if taken > _QUICK_SECONDS:
            break
    return rate


async def _timed(host: Host, to_it: int, from_it: int, seconds: float) -> float:
    """Seconds for a command that reads so many bytes and says so many, which no compression makes fewer."""
    clock = asyncio.get_running_loop().time
    began = clock()
    program = ["sh", "-c", 'cat >/dev/null; head -c "$1" /dev/urandom', "sh", str(from_it)]
    ran = await host.run_bytes(program, seconds=seconds, stdin=os.urandom(to_it), most=from_it)
    if ran != from_it:
        raise HostAnswerError(f"{host.name} sent {ran} bytes of {from_it} that were asked for")
    return clock() - began
