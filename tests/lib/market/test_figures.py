"""What bills teach: starts, speeds, and how far few of them are believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.market.figures import USUAL_START_MOST_SECONDS, Figures, Learnt, learn
from lib.market.offers import USUAL_START_SECONDS

if TYPE_CHECKING:
    from lib.market.instance import InstanceState


@dataclass(frozen=True)
class Billed:
    """What is read of a bill."""

    gpu: str = "RTX 4090"
    machine_id: str = "m1"
    jobs: int = 100
    spent: dict[InstanceState, float] = field(default_factory=dict)


def billed(start: float, work: float, *, jobs: int = 100, gpu: str = "RTX 4090", machine_id: str = "m1") -> Billed:
    """One that loaded for so long, and worked for so long."""
    return Billed(gpu, machine_id, jobs, {"creating": 1.0, "loading": start - 1.0, "draining": work, "idle": 75.0})


def test_without_bills_the_usual_is_assumed() -> None:
    """Nothing is known of any gpu."""
    learnt = learn([])
    assert learnt == Learnt(USUAL_START_SECONDS, USUAL_START_MOST_SECONDS)
    assert learnt.speed("RTX 4090") == 1.0
    assert learnt.figures(5) == Figures(USUAL_START_SECONDS, USUAL_START_MOST_SECONDS, 5)


def test_many_starts_say_how_long_a_start_takes() -> None:
    """The median, and what nine of ten do not exceed."""
    learnt = learn([billed(float(start), 50.0) for start in range(10, 1010)])
    assert learnt.started == 1000
    assert learnt.startup == pytest.approx(509.5, abs=2)
    assert learnt.startup_most == pytest.approx(909, abs=2)


def test_one_start_is_no_law() -> None:
    """A quarter of the way to what it took."""
    learnt = learn([billed(40.0, 50.0)])
    assert learnt.startup == USUAL_START_SECONDS + (40 - USUAL_START_SECONDS) / 4
    assert learnt.startup_most == USUAL_START_MOST_SECONDS + (40 - USUAL_START_MOST_SECONDS) / 4


def test_a_machine_that_did_no_job_teaches_nothing() -> None:
    """It failed, or came too late: how long it loaded says nothing of those that work."""
    assert learn([billed(600.0, 0.0, jobs=0), Billed(jobs=3)]) == learn([])


def test_the_speed_of_a_gpu_is_beside_all_of_them() -> None:
    """Of many jobs; a gpu that was never seen is the average one."""
    learnt = learn(
        [billed(60.0, 1000.0, jobs=1000, gpu="fast"), billed(60.0, 4000.0, jobs=1000, gpu="slow", machine_id="m2")]
    )
    assert learnt.usual == 2.5
    assert learnt.job_seconds == {"fast": 1.0, "slow": 4.0}
    assert learnt.speed("fast") == pytest.approx(2.5, rel=0.05)
    assert learnt.speed("slow") == pytest.approx(0.625, rel=0.05)
    assert learnt.speed("other") == 1.0
    assert learnt.machine_starts == {"m1": 60.0, "m2": 60.0}


def test_few_jobs_change_a_speed_little() -> None:
    """One job that took ten times as long is not believed to be the gpu's."""
    learnt = learn([billed(60.0, 1000.0, jobs=1000), billed(60.0, 10.0, jobs=1, gpu="odd")])
    assert 0.9 < learnt.speed("odd") < 1.0


def test_offers_are_ranked_by_what_was_learnt() -> None:
    """Speeds in characters a second; a size that is not known says nothing."""
    learnt = learn([billed(60.0, 500.0, jobs=1000)])
    history = learnt.history(150.0, {"m9": "its first job failed"})
    assert history.speeds == {"RTX 4090": 300.0}
    assert history.gpu_starts == {"RTX 4090": 60.0}
    assert (history.usual_start, history.excluded) == (learnt.startup, {"m9": "its first job failed"})
    assert learnt.history(0.0, {}).speeds == {}
    # One slow job of a gpu is not believed to be its speed.
    odd = learn([billed(60.0, 1000.0, jobs=1000), billed(60.0, 10.0, jobs=1, gpu="odd")]).history(150.0, {})
    assert odd.speeds["odd"] > 0.9 * odd.speeds["RTX 4090"]


_bills = st.builds(
    billed,
    st.floats(1.0, 700.0),
    st.floats(0.0, 7200.0),
    jobs=st.integers(0, 5000),
    gpu=st.sampled_from(["", "a", "b"]),
    machine_id=st.sampled_from(["", "m1", "m2"]),
)


@given(st.lists(_bills, max_size=12))
def test_figures_are_never_absurd(bills: list[Billed]) -> None:
    """Positive, the slow start no shorter than the usual one, whatever was billed and in whatever order."""
    learnt = learn(bills)
    assert 0 < learnt.startup <= learnt.startup_most
    assert all(learnt.speed(gpu) > 0 for gpu in ("", "a", "b", "other"))
    assert learn(bills[::-1]).startup == learnt.startup
    assert "" not in {*learnt.job_seconds, *learnt.gpu_starts, *learnt.machine_starts}
