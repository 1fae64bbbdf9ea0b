"""`make demo-rent`: forty jobs on two rented machines, the first of which is taken away in the middle.

Everything runs on this machine and nothing is paid for: a market on loopback behind the real client, its hosts real
sshd processes that run this checkout's worker, a bucket that speaks the S3 protocol, real speech. It ends with every
output read back from the bucket, no machine left, and the bill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.fakes.billing import as_table
from tests.fakes.vast_offers import Offer
from tests.fakes.vast_server import FakeVast
from tests.renting.place import at_work_in, length, say
from tests.support.buckets import CREDENTIALS, BucketServer
from tests.support.servers import ValkeyServer
from tests.support.watchers import ROOT, environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

JOBS: Final = 40
MACHINES: Final = 2
BIN: Final = Path(sys.executable).parent
PREFIX: Final = "demo"
_LIMIT_SECONDS: Final = 240.0
_LOOK_SECONDS: Final = 0.2
_SENTENCES: Final = (
    "The lamp burned all night above the harbour.",
    "In the morning somebody had written this line.",
    "Nobody could say where the boats had gone.",
    "The tide came in without a sound.",
)


class DemoError(Exception):
    """It did not end as it should; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the demo ended with. `bills` are our own, `charged` is what the market says in dollars."""

    done: int
    sound: int
    machines: int
    preempted: int
    left: int
    bills: Sequence[Mapping[str, Any]]
    usd: float
    charged: float
    seconds: float


def jobs_file(folder: Path, count: int) -> Path:
    """Speech that is pinned to rented machines."""
    rows = [
        f"- {{request_id: demo-{i:02}, voice: newsroom, backend: vast, output_name: demo/{i:02}, "
        f'text: "Page {i + 1}. {" ".join(_SENTENCES[(i + k) % len(_SENTENCES)] for k in range(10))}"}}\n'
        for i in range(count)
    ]
    path = folder / "jobs.yaml"
    path.write_text("jobs:\n" + "".join(rows))
    return path


def run(folder: Path, say: Callable[[str], object], *, count: int = JOBS, after: int | None = None) -> Seen:
    """The whole demo in this folder; the first machine is taken away when `after` jobs are done, a third by default.

    Raises:
        DemoError: a program failed, or it took too long.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(ValkeyServer(folder / "valkey"))
        bucket_server = BucketServer()
        stack.callback(bucket_server.close)
        bucket = bucket_server.new_bucket()
        offers = [Offer(id=101, dph=0.22), Offer(id=102, dph=0.25), Offer(id=103, dph=0.4)]
        market = stack.enter_context(FakeVast(hosts=folder / "hosts", offers=offers))
        environ = environment_of(
            server.url,
            PREFIX,
            folder / "state",
            {
                **CREDENTIALS,
                "S3_BUCKET": bucket,
                "S3_ENDPOINT_URL": bucket_server.url,
                "VAST_API_KEY": "vast-of-a-demo-0123456789",
                "VAST_URL": market.url,
                "VAST_IMAGE": "job-runner-worker",
                "VAST_DISK": "8",
                "VAST_MAX_INSTANCES": str(MACHINES),
                "BUDGET_PER_DAY_USD": "5",
                "WATCHER_IDLE_GRACE": "3",
                "WATCHER_BATCH_MAX_WAIT": "0",
                "WATCHER_BATCH_MAX_JOBS": "8",
            },
        )
        file = jobs_file(folder, count)
        told(environ, folder, "enqueue", str(file))
        say(f"{count} jobs are queued; a watcher begins to rent")
        log = folder / "watcher.log"
        with log.open("wb") as output:
            watcher = subprocess.Popen(
                [str(BIN / "job-watcher"), "--backends", "vast", "--drain"],
                cwd=ROOT,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        stack.callback(end, watcher)
        taken = _follow(watcher, market, server, say, after=count // 3 if after is None else after, log=log)
        records = told(environ, folder, "report", str(file))
        rows = [row["record"] for row in records["rows"] if row["status"] == "done"]
        objects = bucket_server.objects(bucket)
        sound = sum(_is_sound(row, objects, bucket) for row in rows)
        bills = told(environ, folder, "instances", "list", "--bills", "1000")["bills"]
        say("\nwhat the market says:")
        say(as_table(market.bill()))
        return Seen(
            len(rows),
            sound,
            len(market.instances),
            taken,
            len(market.living),
            bills,
            sum(bill["usd"] for bill in bills),
            sum(line.dollars for line in market.bill()),
            time.monotonic() - began,
        )


def _follow(
    watcher: subprocess.Popen[bytes],
    market: FakeVast,
    server: ValkeyServer,
    say: Callable[[str], object],
    *,
    after: int,
    log: Path,
) -> int:
    """Until the watcher ends; takes one machine away while both work. How many were taken."""
    until = time.monotonic() + _LIMIT_SECONDS
    taken, shown = 0, -1
    while watcher.poll() is None:
        if time.monotonic() > until:
            raise DemoError(f"not over after {_LIMIT_SECONDS:g} s; its log ends:\n{log.read_text()[-3000:]}")
        done = length(server, PREFIX, "result")
        if done != shown:
            say(f"{done} done, {len(market.living)} machines")
            shown = done
        working = [each for each in market.living if each.status == "running"]
        if not taken and working and done >= after:
            say(f"machine {working[-1].id} is taken away: somebody else bids more")
            market.act("preempt", working[-1].id)
            taken += 1
        time.sleep(_LOOK_SECONDS)
    if watcher.returncode != 0:
        raise DemoError(f"the watcher ended with {watcher.returncode}:\n{log.read_text()[-3000:]}")
    return taken


def _is_sound(record: Mapping[str, Any], objects: Mapping[str, bytes], bucket: str) -> bool:
    """Whether every file that the record names is in the bucket with its size and sha256, and published."""
    outputs = record["outputs"]
    files = [*outputs.get("takes", ()), *(outputs[name] for name in ("best", "meta") if outputs.get(name))]
    for each in files:
        body = objects.get(each["uri"].removeprefix(f"s3://{bucket}/"))
        if body is None or len(body) != each["bytes"] or hashlib.sha256(body).hexdigest() != each["sha256"]:
            return False
    return bool(files)


def told(environ: Mapping[str, str], folder: Path, *words: str) -> dict[str, Any]:
    """What a command says as JSON.

    Raises:
        DemoError: it failed.
    """
    done = subprocess.run(
        [str(BIN / "job-runner"), *words, "--json"],
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise DemoError(f"job-runner {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def end(process: subprocess.Popen[bytes]) -> None:
    """End it, by force where it does not; nothing where it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bill_lines(bills: Sequence[Mapping[str, Any]]) -> list[str]:
    """Our own bills as a table: seconds by state, dollars, the share that was no work, dollars a job."""
    found = ["MACHINE  USD       JOBS  USD/JOB   IDLE  SECONDS BY STATE"]
    for bill in bills:
        seconds = bill["seconds"]
        paid = sum(seconds.values())
        idle = 1 - seconds.get("draining", 0.0) / paid if paid else 0.0
        jobs = bill["jobs"]
        each = f"{bill['usd'] / jobs:.6f}" if jobs else "-"
        states = " ".join(f"{name} {value:.1f}" for name, value in seconds.items() if value)
        found.append(f"{bill['market_id']!s:<8} {bill['usd']:.6f}  {jobs:<4}  {each:<8}  {idle:>4.0%}  {states}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and say what was seen; exit code 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.renting.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--keep", type=Path, help="a folder that stays, for a look at logs and outputs")
    asked = parser.parse_args(argv)

    with at_work_in(asked.keep, "demo-rent-") as folder:
        seen = run(folder, say, count=asked.jobs)
    say("\nour own bill:")
    for line in bill_lines(seen.bills):
        say(line)
    say(
        f"\n{seen.done} of {asked.jobs} done, {seen.sound} read back and sound; {seen.machines} machines,"
        f" {seen.preempted} taken away, {seen.left} left; ${seen.usd:.6f} by our books, ${seen.charged:.6f} by the"
        f" market's; {seen.seconds:.0f} s"
    )
    well = seen.done == seen.sound == asked.jobs and not seen.left and seen.preempted == 1
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
