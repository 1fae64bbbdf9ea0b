"""What each queue loses when its worker is killed in mid-job: done, not read up.

A worker has jobs of a second in hand; SIGKILL for it and all that it started; another is started in its place at
once. What has not ended after a minute counts as lost, what ended twice as repeated; the time is from the kill until
the last job that was in hand had begun again.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bench.figure import Found, Loss
from bench.peers.measuring import NAME, runner
from bench.peers.roster import OWN, PEERS, Peer
from bench.stand import StandError

if TYPE_CHECKING:
    from bench.peers.measuring import Runner
    from bench.sizes import Sizes
    from bench.steps import Steps

JOB_SECONDS: Final = 1.0
WAIT_SECONDS: Final = 60.0
ROUNDS: Final = 3
"""Jobs are this many times the slots: some in hand, some fetched ahead, some still in the queue."""

NEWS_SECONDS: Final = 4.0
START_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.02

CASES: Final[tuple[tuple[Peer, str, str], ...]] = (
    (replace(OWN, kill_setting="defaults; the watcher comes back under its name"), "w", NAME),
    (replace(OWN, kill_setting="defaults; another watcher goes on"), "other", f"{NAME}, another"),
    (
        replace(OWN, kill_setting="session of 3 s, renewed and swept each 0.5 s; another goes on", claim_seconds=3),
        "other",
        f"{NAME}, another, 3 s",
    ),
)


async def measure(sizes: Sizes, step: Steps) -> Found:
    """Every queue once; one that fails is told and stops no other."""
    found = step.found
    cases = [*CASES, *((peer, "w", peer.name) for peer in PEERS)]
    for peer, successor, who in cases:
        if sizes.peers and peer.name not in sizes.peers:
            continue
        try:
            async with asyncio.timeout(WAIT_SECONDS + 2 * START_SECONDS + 60):
                found.losses.append(await _killed(peer, successor, who))
        except TimeoutError:
            found.failures[f"killed: {who}"] = "not over in time"
        except Exception as exc:  # noqa: BLE001 - whatever a peer does, the others are measured
            found.failures[f"killed: {who}"] = f"{type(exc).__name__}: {exc}"
        step()
    return found


async def _killed(peer: Peer, successor: str, who: str) -> Loss:
    count = ROUNDS * peer.kill_slots
    later = range(count, count + int(WAIT_SECONDS / NEWS_SECONDS) + 1)
    async with runner(peer, later.stop, slots=peer.kill_slots, claim_seconds=peer.claim_seconds) as run:
        await run.submit("bulk", 0, count, JOB_SECONDS)
        async with run.worker():
            await _in_mid_job(run, peer.kill_slots)
        killed_ns = time.monotonic_ns()
        in_hand = _in_hand(run)
        async with run.worker(successor):
            news = asyncio.create_task(_news(run, later))
            try:
                waited = await _settled(run, count)
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)
        rows = run.trace.rows(count)
    # What was in no body's hands may have been fetched by the dead one all the same.
    lost = sum(1 for row in rows if not row[3])
    again = [rows[number][0] for number in in_hand]
    back = all(at > killed_ns for at in again) and not lost
    return Loss(
        who=who,
        setting=peer.kill_setting,
        jobs=count,
        in_hand=len(in_hand),
        lost=lost,
        repeated=sum(1 for row in rows if row[3] > 1),
        recovered_seconds=(max(again, default=killed_ns) - killed_ns) / 1e9 if back else None,
        waited_seconds=waited,
    )


def _in_hand(run: Runner) -> list[int]:
    """Numbers of the jobs whose body runs."""
    return [number for number, row in enumerate(run.trace.rows()) if row[2] > row[3]]


async def _in_mid_job(run: Runner, slots: int) -> None:
    """Wait until every slot has a job whose body runs, and then until the middle of it."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while len(_in_hand(run)) < slots:  # noqa: ASYNC110 - other processes write the trace
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        said = (run.stand.state / "worker.log").read_text(errors="replace")[-500:]
        raise StandError(f"{run.peer.name} did not fill its {slots} slots; {said}") from None
    await asyncio.sleep(JOB_SECONDS / 2)


async def _news(run: Runner, numbers: range) -> None:
    """A new job now and then, as a queue gets them: some peers look for what the dead left only then."""
    for number in numbers:
        await asyncio.sleep(NEWS_SECONDS)
        await run.submit("one", number, 1)


async def _settled(run: Runner, count: int) -> float:
    """Wait until all have ended, at most a minute, and a little longer for those that end twice; seconds waited."""
    begun = time.monotonic()
    while time.monotonic() - begun < WAIT_SECONDS:
        if all(row[3] for row in run.trace.rows(count)):
            await asyncio.sleep(2 * JOB_SECONDS)
            break
        await asyncio.sleep(_LOOK_SECONDS)
    return time.monotonic() - begun
