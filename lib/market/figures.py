"""What rented machines have shown so far: how long one takes to start, and how fast each kind of gpu works. Pure.

Learnt from bills. Called by whoever decides to rent, ranks offers, quotes or simulates.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Final, Protocol

from lib.market.offers import USUAL_START_SECONDS, RentHistory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.market.instance import InstanceState

USUAL_START_MOST_SECONDS: Final = 600.0
"""What nine of ten starts are assumed not to exceed, before any was seen: as long as one may load."""

_TRUST_STARTS: Final = 3
"""From so many starts on they say more than what is assumed."""

_TRUST_JOBS: Final = 30
"""From so many jobs on a gpu's own speed says more than that of all."""

_BEFORE_WORK: Final[tuple[InstanceState, ...]] = (
    "intended", "creating", "loading", "connecting", "probing", "canary",
)  # fmt: skip


class Bill(Protocol):
    """What is read of a bill; `lib.redisqueue.instances.Bill` is one."""

    @property
    def gpu(self) -> str:
        """Its kind, as the market spells it."""

    @property
    def machine_id(self) -> str:
        """Which machine it was."""

    @property
    def jobs(self) -> int:
        """How many it ended."""

    @property
    def spent(self) -> Mapping[InstanceState, float]:
        """Seconds by state."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What decisions are made with: seconds from intent to ready, expected and at worst; what an hour costs.

    `dph` is of the machine that would be rented next, in millionths of a dollar, storage included.
    """

    startup: float
    startup_most: float
    dph: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the bills say. `started` is how many machines came to work at all, of which the starts speak.

    `job_seconds` is by gpu: what a job took there while the machine worked, whatever jobs those were, and `jobs` how
    many they were. `usual` is what one took on all machines together, None where none was done.
    """

    startup: float = USUAL_START_SECONDS
    startup_most: float = USUAL_START_MOST_SECONDS
    started: int = 0
    gpu_starts: Mapping[str, float] = field(default_factory=dict)
    machine_starts: Mapping[str, float] = field(default_factory=dict)
    job_seconds: Mapping[str, float] = field(default_factory=dict)
    jobs: Mapping[str, int] = field(default_factory=dict)
    usual: float | None = None

    def figures(self, dph: int) -> Figures:
        """With the price of the machine that would be rented."""
        return Figures(self.startup, self.startup_most, dph)

    def speed(self, gpu: str) -> float:
        """How fast it is beside the average rented machine: 2.0 is twice as fast, 1.0 where nothing is known."""
        own = self.job_seconds.get(gpu)
        if not own or not self.usual:
            return 1.0
        jobs = self.jobs[gpu]
        return float((self.usual / own) ** (jobs / (jobs + _TRUST_JOBS)))

    def history(self, characters_a_job: float, excluded: Mapping[str, str]) -> RentHistory:
        """For ranking offers: `characters_a_job` is an average job's size, `excluded` why a machine is left out."""
        usual = characters_a_job / self.usual if self.usual else 0.0
        speeds = {gpu: usual * self.speed(gpu) for gpu in self.job_seconds if usual > 0}
        return RentHistory(speeds, self.machine_starts, self.gpu_starts, excluded, usual_start=self.startup)


def learn(bills: Iterable[Bill]) -> Learnt:
    """From the newest bills, in any order; of a machine that did no job nothing is learnt.

    Of few starts the usual ones are believed more, so that one slow machine is no law.
    """
    worked = [bill for bill in bills if bill.jobs > 0 and bill.spent.get("draining", 0.0) > 0]
    by_gpu, by_machine = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    seconds, jobs = defaultdict[str, float](float), defaultdict[str, int](int)
    for bill in worked:
        start = sum(bill.spent.get(state, 0.0) for state in _BEFORE_WORK)
        by_gpu[bill.gpu].append(start)
        by_machine[bill.machine_id].append(start)
        seconds[bill.gpu] += bill.spent["draining"]
        jobs[bill.gpu] += bill.jobs
    starts = sorted(start for each in by_gpu.values() for start in each)
    if not starts:
        return Learnt()
    trust = len(starts) / (len(starts) + _TRUST_STARTS)
    startup = USUAL_START_SECONDS + trust * (median(starts) - USUAL_START_SECONDS)
    slow = starts[ceil(0.9 * len(starts)) - 1]
    return Learnt(
        startup=startup,
        startup_most=max(startup, USUAL_START_MOST_SECONDS + trust * (slow - USUAL_START_MOST_SECONDS)),
        started=len(starts),
        gpu_starts={gpu: median(each) for gpu, each in by_gpu.items() if gpu},
        machine_starts={machine: median(each) for machine, each in by_machine.items() if machine},
        job_seconds={gpu: seconds[gpu] / jobs[gpu] for gpu in jobs if gpu},
        jobs={gpu: jobs[gpu] for gpu in jobs if gpu},
        usual=sum(seconds.values()) / sum(jobs.values()),
    )
