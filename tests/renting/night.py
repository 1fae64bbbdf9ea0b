"""`make night-rent`: five hundred jobs on rented machines, and what they cost beside plans that know the whole night.

Everything runs on this machine as in the demo: real speech, real sshd hosts, a real watcher, a bucket, and a market
whose clock bills. A machine's start and idle grace are about a twentieth of the usual ones, as the jobs are: of a real
night it has the proportions, not the seconds. The plans are reckoned from what each job took on its machine tonight:

- `fixed`: the cheapest of one, two … machines, rented for the first job and kept to the last;
- `naive`: a machine for each micro-batch.

Exit code 1 where an aim is missed: dollars within 1.15 x `fixed`, at most a tenth of what is paid without work.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.fakes.billing import HOUR, as_table
from tests.fakes.vast_lives import Life, Plan
from tests.fakes.vast_offers import Offer
from tests.fakes.vast_server import FakeVast
from tests.renting.demo import BIN, PREFIX, DemoError, bill_lines, end, told
from tests.renting.place import at_work_in, say
from tests.support.buckets import CREDENTIALS, BucketServer
from tests.support.servers import ValkeyServer
from tests.support.watchers import ROOT, environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

JOBS: Final = 500
BATCH: Final = 50
LOADING_SECONDS: Final = 4.5
GRACE_SECONDS: Final = 4.0
DISK_GB: Final = 8
MOST_BY_FIXED: Final = 1.15
MOST_IDLE: Final = 0.10
_LOOK_SECONDS: Final = 0.1
_SAY_EVERY: Final = 25
_LIMIT_SECONDS: Final = 3600.0
_MOST_MACHINES: Final = 8
_SENTENCES: Final = (
    "The lamp burned all night above the harbour.",
    "In the morning somebody had written this line.",
    "Nobody could say where the boats had gone.",
    "The tide came in without a sound.",
    "Behind the customs house a dog was barking at the rain.",
)


@dataclass(frozen=True, slots=True)
class Night:
    """What it came to. Dollars: `charged` by the market, `booked` by us; `work` is what jobs took on machines."""

    jobs: int
    done: int
    machines: int
    batches: int
    left: int
    work: float
    paid: float
    charged: float
    booked: float
    fixed: float
    fixed_machines: int
    naive: float
    naive_machines: int
    seconds: float

    @property
    def idle(self) -> float:
        """Which part of the paid seconds no job was at work."""
        return 1 - _part(self.work, self.paid)

    @property
    def by_fixed(self) -> float:
        """Times the best fixed plan."""
        return _part(self.charged, self.fixed)

    @property
    def saved(self) -> float:
        """Which part of the naive plan's bill."""
        return 1 - _part(self.charged, self.naive)

    @property
    def well(self) -> bool:
        """Whether everything was done within the aims."""
        within = self.by_fixed <= MOST_BY_FIXED and self.idle <= MOST_IDLE
        return within and self.done == self.jobs and not self.left and self.batches > self.machines

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"{self.done} of {self.jobs} done in {self.batches} micro-batches; {self.seconds:.0f} s",
            f"{self.machines} machines were rented, {self.left} are left",
            f"${self.charged:.6f} by the market's books, ${self.booked:.6f} by ours",
            f"{self.paid:.1f} s paid, {self.work:.1f} s of work: idle {self.idle:.1%} (aim: at most {MOST_IDLE:.0%})",
            f"best fixed plan, machines {self.fixed_machines}: ${self.fixed:.6f}",
            f"{self.by_fixed:.3f} x that (aim: at most {MOST_BY_FIXED})",
            f"naive plan, machines {self.naive_machines}: ${self.naive:.6f}, of which {self.saved:.0%} is saved",
        ]


def night(folder: Path, say: Callable[[str], object], *, count: int = JOBS, machines: int = 2) -> Night:
    """One of them in this folder.

    Raises:
        DemoError: a program failed, or it took too long.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(ValkeyServer(folder / "valkey"))
        bucket_server = BucketServer()
        stack.callback(bucket_server.close)
        offers = [Offer(id=101 + each, dph=0.22) for each in range(_MOST_MACHINES)]
        market = stack.enter_context(FakeVast(hosts=folder / "hosts", offers=offers))
        market.plan(Plan(Life(loading=LOADING_SECONDS)))
        environ = environment_of(
            server.url,
            PREFIX,
            folder / "state",
            {
                **CREDENTIALS,
                "S3_BUCKET": bucket_server.new_bucket(),
                "S3_ENDPOINT_URL": bucket_server.url,
                "VAST_API_KEY": "vast-of-a-night-0123456789",
                "VAST_URL": market.url,
                "VAST_IMAGE": "job-runner-worker",
                "VAST_DISK": str(DISK_GB),
                "VAST_MAX_INSTANCES": str(machines),
                "BUDGET_PER_DAY_USD": "5",
                "WATCHER_IDLE_GRACE": str(GRACE_SECONDS),
                "WATCHER_BATCH_MAX_JOBS": str(BATCH),
                "WATCHER_LOG_LEVEL": "DEBUG",
            },
        )
        file = jobs_file(folder, count)
        told(environ, folder, "enqueue", str(file))
        say(f"{count} jobs are queued; a watcher begins to rent")
        eye = _Eye(market, environ, folder, say)
        _drain(environ, folder / "watcher.log", stack, eye.look)
        rows = told(environ, folder, "report", str(file))["rows"]
        bills = told(environ, folder, "instances", "list", "--bills", "1000")["bills"]
        say("\nwhat the market says:")
        say(as_table(market.bill()))
        say("\nour own bill:")
        for line in bill_lines(bills):
            say(line)
        return _reckoned(rows, bills, market, sum(eye.batches.values()), time.monotonic() - began)


def jobs_file(folder: Path, count: int) -> Path:
    """Speech of a third of a second of this machine's work each, more or less, pinned to rented machines."""
    rows = [
        f"- {{request_id: night-{i:03}, voice: newsroom, backend: vast, output_name: night/{i:03}, "
        f'text: "Page {i + 1}. {" ".join(_SENTENCES[(i + k) % len(_SENTENCES)] for k in range(4 + i * 7 % 9))}"}}\n'
        for i in range(count)
    ]
    path = folder / "jobs.yaml"
    path.write_text("jobs:\n" + "".join(rows))
    return path


def _drain(environ: Mapping[str, str], log: Path, stack: ExitStack, look: Callable[[], None]) -> None:
    """A watcher, from its start to its end."""
    with log.open("wb") as output:
        watcher = subprocess.Popen(
            [str(BIN / "job-watcher"), "--backends", "vast", "--drain"],
            cwd=ROOT,
            env=dict(environ),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    stack.callback(end, watcher)
    until = time.monotonic() + _LIMIT_SECONDS
    while watcher.poll() is None:
        if time.monotonic() > until:
            raise DemoError(f"not over after {_LIMIT_SECONDS:g} s; its log ends:\n{log.read_text()[-3000:]}")
        look()
        time.sleep(_LOOK_SECONDS)
    if watcher.returncode != 0:
        raise DemoError(f"the watcher ended with {watcher.returncode}:\n{log.read_text()[-3000:]}")


@dataclass(slots=True)
class _Eye:
    """Looks on; `batches` is by runner the highest number of a micro-batch whose folder was seen on its host."""

    market: FakeVast
    environ: Mapping[str, str]
    folder: Path
    say: Callable[[str], object]
    batches: dict[str, int] = field(default_factory=dict)
    _looks: int = 0

    def look(self) -> None:
        """At the hosts each time, at the queue now and then."""
        with contextlib.suppress(OSError):
            # Folders go while they are looked at: what was missed is seen at the next look.
            for path in (self.folder / "hosts").glob("*/home/job-runner-i*/*/batch-*"):
                number = int(path.name.rpartition("-")[2])
                self.batches[path.parent.name] = max(number, self.batches.get(path.parent.name, 0))
        self._looks += 1
        if self._looks % _SAY_EVERY == 0:
            done = told(self.environ, self.folder, "status")["totals"]["done"]
            self.say(f"{done} done, {len(self.market.living)} machines")


def _reckoned(
    rows: Sequence[Mapping[str, Any]],
    bills: Sequence[Mapping[str, Any]],
    market: FakeVast,
    batches: int,
    seconds: float,
) -> Night:
    records = [row["record"] for row in rows if row["status"] == "done"]
    work = [float(each["cost"]["seconds"]) for each in records]
    lines = market.bill()
    hourly = sum(each.dollars for each in lines) / sum(each.seconds for each in lines) * HOUR
    starts = [
        sum(value for name, value in each["seconds"].items() if name not in {"draining", "idle", "destroying"})
        for each in bills
    ]
    start = sum(starts) / len(starts)
    plans = {count: fixed_seconds(work, start, count) for count in range(1, _MOST_MACHINES + 1)}
    best = min(plans, key=lambda count: plans[count])
    by_batch = -(-len(work) // BATCH)
    return Night(
        len(rows),
        len(records),
        len(lines),
        batches,
        len(market.living),
        sum(work),
        sum(each.seconds for each in lines),
        sum(each.dollars for each in lines),
        sum(each["usd"] for each in bills),
        plans[best] * hourly / HOUR,
        best,
        (by_batch * start + sum(work)) * hourly / HOUR,
        by_batch,
        seconds,
    )


def _part(share: float, whole: float) -> float:
    """Infinite of nothing: a night in which nothing was done is told, and is within no aim."""
    return share / whole if whole else float("inf")


def fixed_seconds(work: Sequence[float], start: float, machines: int) -> float:
    """Machine seconds of so many from the first job's coming to the last one's end; each takes the next that waits."""
    free = [start] * machines
    for took in work:
        heapq.heapreplace(free, free[0] + took)
    return machines * max(free)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and say what was seen; exit code 1 where an aim is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.renting.night", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--machines", type=int, default=2, help="VAST_MAX_INSTANCES")
    parser.add_argument("--keep", type=Path, help="a folder that stays, for a look at logs and outputs")
    asked = parser.parse_args(argv)

    with at_work_in(asked.keep, "night-rent-") as folder:
        seen = night(folder, say, count=asked.jobs, machines=asked.machines)
    say("")
    for line in seen.lines():
        say(line)
    return 0 if seen.well else 1


if __name__ == "__main__":
    sys.exit(main())
