"""A host is looked at before anything is sent to it, and what is wrong with it is said in words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from job_watcher.hosts.connection import connect
from job_watcher.hosts.errors import HostLostError
from job_watcher.hosts.probe import Card, Probe, Wants, probe, read_look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from job_watcher.hosts.host import Host
    from tests.job_watcher.hosts.sshd import Sshd

CARD = "echo 'NVIDIA GeForce RTX 4090, 550.54.14, 24564'"
LITTLE = Wants(disk_gb=0.001)
LOOK = "disk 90000000\nmemory 16000000\nend\n"


@pytest.fixture
def programs(own_sshd: Sshd) -> Callable[..., None]:
    """Put programs before the host's own, each by the text of a script."""

    def put(**scripts: str) -> None:
        for name, text in scripts.items():
            own_sshd.put_program(name.replace("_", "-"), text)

    return put


@pytest.fixture
async def rented(own_sshd: Sshd) -> AsyncIterator[Host]:
    """The host that is looked at."""
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    yield host
    await host.aclose()


async def test_a_good_host(programs: Callable[..., None], rented: Host) -> None:
    """Card, memory, disk, both ways of the line, Python and the worker: all that was asked is known."""
    programs(nvidia_smi=CARD, job_runner="echo job-runner 9.8.7")
    found = await probe(rented, LITTLE)
    assert found.ok, found.problem
    assert found.cards == (Card("NVIDIA GeForce RTX 4090", "550.54.14", 24564),)
    assert min(found.memory_gb, found.disk_gb, found.up_mbps, found.down_mbps) > 0
    assert found.python.startswith("3.")
    assert found.worker.endswith("/programs/job-runner")
    assert found.version == "9.8.7"


async def test_a_host_without_a_card_is_all_right_where_none_is_wanted(rented: Host) -> None:
    """Hosts of one's own may have none; no worker is there either."""
    found = await probe(rented, dataclasses.replace(LITTLE, card=False))
    assert (found.ok, found.cards, found.worker, found.version) == (True, (), "", "")


@pytest.mark.parametrize(
    ("scripts", "problem"),
    [
        ({"nvidia_smi": "echo 'NVIDIA-SMI has failed because of the driver.'; exit 9"}, "NVIDIA-SMI has failed"),
        ({"timeout": "exit 124", "nvidia_smi": CARD}, "does not answer"),
        ({}, "nvidia-smi is not there"),
        ({"nvidia_smi": CARD, "df": "printf 'a\\n/dev/x 9 9 512 99%% /\\n'"}, "0.0 GB of disk are free, of 0.01 GB"),
        ({"nvidia_smi": CARD, "awk": "echo '; rm -rf /'"}, "nothing sensible"),
        ({"nvidia_smi": CARD, "head": "echo short"}, "said more than 0 bytes"),
        ({"nvidia_smi": "yes no card"}, "said more than"),
        ({"nvidia_smi": CARD, "head": "exit 0"}, "sent 0 bytes of 131072"),
    ],
    ids=["driver", "driver-hangs", "no-driver", "disk", "nonsense", "liar", "flood", "short"],
)
async def test_a_bad_host_is_told_by_what_is_wrong(
    programs: Callable[..., None], rented: Host, scripts: dict[str, str], problem: str
) -> None:
    """Faults row 43: an ill driver, a full disk, nonsense; the line of such a host is not measured."""
    programs(**scripts)
    found = await probe(rented, Wants(disk_gb=0.01))
    assert problem in found.problem
    assert (found.ok, found.up_mbps) == (False, 0.0)


async def test_a_slow_line_is_a_problem(programs: Callable[..., None], rented: Host) -> None:
    """Faults row 43: it is measured and named."""
    programs(nvidia_smi=CARD)
    found = await probe(rented, dataclasses.replace(LITTLE, least_mbps=1e9))
    assert "Mbit/s; 1e+09 are wanted" in found.problem
    assert found.up_mbps > 0


async def test_a_host_that_does_not_answer_in_time_is_lost(programs: Callable[..., None], rented: Host) -> None:
    """The look has one deadline, and what hung there is ended."""
    programs(df="sleep 1000")
    with pytest.raises(HostLostError):
        await probe(rented, LITTLE, seconds=0.3)


@pytest.mark.parametrize(
    ("text", "wants", "problem"),
    [
        (LOOK, Wants(60, card=False), ""),
        (LOOK, Wants(60), "no graphics card"),
        (LOOK, Wants(200, card=False), "of 200 GB that were ordered"),
        (LOOK, Wants(60, card=False, memory_gb=32), "16.4 GB of memory are free; 32 GB are wanted"),
        (f"limit 2000000000\n{LOOK}", Wants(60, card=False, memory_gb=4), "2.0 GB of memory"),
        (f"limit max\n{LOOK}", Wants(60, card=False), ""),
        ("disk 90000000\nmemory 16000000\n", Wants(60, card=False), "broke off"),
        ("disk\nmemory 1\nend\n", Wants(60, card=False), "nothing sensible"),
        ("", Wants(60), "nothing sensible"),
        (f"smi a, b\nsmi x, 1.2, many, y\n{LOOK}", Wants(60), "no graphics card works there: a, b"),
    ],
)
def test_what_a_host_says_is_held_against_what_is_wanted(text: str, wants: Wants, problem: str) -> None:
    """The first thing that is wrong; a container's own limit of memory counts."""
    found = read_look(text, wants)
    assert problem in found.problem
    assert found.ok == (problem == "")


def test_several_cards_and_one_that_does_not_tell_its_memory() -> None:
    """One line each; the first of a name that is said twice counts otherwise."""
    found = read_look(f"smi A, 550.1, 24564\nsmi B, 550.1, [N/A]\n{LOOK}disk 1\n", Wants(60))
    assert found.cards == (Card("A", "550.1", 24564), Card("B", "550.1", 0))
    assert found.disk_gb == pytest.approx(92.16)
    assert Probe().ok
