"""What is done on a host, step by step, over a real sshd: and what each step says when it cannot be done."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_watcher.backends.vast import hands as hands_module
from job_watcher.backends.vast.hands import HostHands, Means
from job_watcher.backends.vast.shares import MachinePrice
from job_watcher.hosts.deadman import onstart
from job_watcher.hosts.errors import HostError
from job_watcher.hosts.keys import HostKeys, OwnKeys
from job_watcher.hosts.probe import Wants
from job_watcher.work_dirs import WorkDir
from lib import wiring
from lib.clock import SystemClock
from lib.market import events as ev
from lib.market.ssh import address_of
from tests.support.running import lease_of, settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.market.base import Address
    from tests.job_watcher.backends.vast.conftest import OwnHost


@dataclass
class Standing:
    """A session that stands as the test says."""

    fresh: bool = True


@pytest.fixture
def means(tmp_path: Path) -> Means:
    """Of a watcher with a local store."""
    (tmp_path / "watcher").mkdir()
    settings = settings_in(tmp_path / "watcher", VAST_DISK="10", VAST_DEAD_MAN="600")
    return Means.of(settings, wiring.voices(settings), None, SystemClock())


@pytest.fixture
def hands(own_host: OwnHost, means: Means) -> HostHands:
    """Of the user's own host."""
    session = Standing()
    return HostHands("cafe0000cafe", OwnKeys(own_host.key), means, session, rented=False, on_change=lambda: None)  # type: ignore[arg-type]  # what of a session is asked


def address(own_host: OwnHost) -> Address:
    """Where it is."""
    return address_of(own_host.settings["SSH_HOSTS"])


async def test_a_key_that_is_not_let_in_is_a_lost_host(own_host: OwnHost, hands: HostHands) -> None:
    """Within the time that it was given; the machine is to blame."""
    hands.keys = HostKeys.make()
    said = await hands.connect(address(own_host), 1.0)
    assert isinstance(said, ev.Lost)
    assert said.blame
    hands.close()
    await hands.means.left(5)


async def test_nobody_there_is_a_lost_host(own_host: OwnHost, hands: HostHands) -> None:
    """It says so when the time is over."""
    own_host.host.kill()
    assert isinstance(await hands.connect(address(own_host), 0.5), ev.Lost)


async def test_who_gave_it_up_meanwhile_is_not_connected(own_host: OwnHost, hands: HostHands) -> None:
    """Nothing is left open."""
    hands.close()
    assert isinstance(await hands.connect(address(own_host), 5.0), ev.Lost)
    hands.open()
    assert not hands.takes_jobs


async def told_its_share(hands: HostHands, directory: Path) -> None:
    """By the seconds that it was worked on there, not by those that it waited, and by the bytes that came."""
    hands.price = lambda: MachinePrice(3600 * 10**6, upload_gb=10**15)
    job = spec("speak", text="A word.", voice="newsroom")
    async with WorkDir(directory, lambda: None) as work_dir:
        began = hands.means.clock.elapsed()
        result = await hands.speak(job, 1, lease_of(job), work_dir, lambda _: None)
        whole = hands.means.clock.elapsed() - began
        arrived = sum(each.path.stat().st_size for each in result.outputs)
    share = result.cost or {}
    assert share["share_of"] == hands.intent
    assert 0 < share["seconds"] <= whole - result.waited + 0.001
    assert share["traffic_usd"] == arrived > 0
    assert share["usd"] == pytest.approx(share["seconds"] + arrived, abs=0.001)


def _environments(own_host: OwnHost) -> list[bytes]:
    """Of all processes there; one that ends meanwhile has none."""
    found = []
    for pid in own_host.host.processes():
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/environ").read_bytes())
    return found


def test_what_is_set_here_bounds_the_workers_there(tmp_path: Path) -> None:
    """So much disk for sentences as on this machine, and nothing else is handed on."""
    settings = settings_in(tmp_path, SENTENCE_CACHE_BYTES="12345678", VAST_API_KEY="secret-of-ours-0123")
    means = Means.of(settings, wiring.voices(settings), None, SystemClock())
    assert means.environment == {"SENTENCE_CACHE_BYTES": "12345678"}


async def test_step_by_step_and_left_in_order(own_host: OwnHost, hands: HostHands, tmp_path: Path) -> None:
    """Connected, looked at, tried, open; then closed, and nothing of it runs on."""
    heard: list[bool] = []
    hands.on_change = lambda: heard.append(hands.takes_jobs)
    assert await hands.connect(address(own_host), 10.0) == ev.Connected()
    assert await hands.probe() == ev.Probed()
    assert await hands.canary() == ev.CanaryEnded()
    assert not hands.takes_jobs
    assert any(b"SENTENCE_CACHE_BYTES=" in each for each in _environments(own_host))
    hands.open()
    assert (hands.takes_jobs, hands.in_hand, heard) == (True, 0, [True])
    await told_its_share(hands, tmp_path / "work")
    hands.close()
    hands.close()
    assert (hands.takes_jobs, heard) == (False, [True, False])
    await hands.means.left(10)
    assert hands.means.leaving == set()
    await wait_until(lambda: len(own_host.host.processes()) <= 1)


async def test_another_version_on_ones_own_host_is_no_good(
    own_host: OwnHost, hands: HostHands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is installed on a machine that is not rented: its owner is told."""
    monkeypatch.setattr(hands_module, "own_version", lambda: "99.0")
    await hands.connect(address(own_host), 10.0)
    said = await hands.probe()
    assert isinstance(said, ev.Probed)
    assert "99.0" in said.why
    hands.close()
    await hands.means.left(5)


async def test_a_machine_that_cannot_end_itself_is_given_no_work(
    own_host: OwnHost, hands: HostHands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 10: a forgotten machine must not need us; this one has no key of the market."""
    monkeypatch.setattr(hands_module, "LOOK_AGAIN_SECONDS", 0.0)
    keys = HostKeys.make()
    own_host.host.allow(keys.public)
    hands.keys, hands.rented = keys, True
    said = await hands.connect(address(own_host), 10.0)
    assert isinstance(said, ev.Lost)
    assert said.blame
    assert "cannot end itself" in said.why
    hands.close()
    await hands.means.left(5)


async def test_a_wheel_that_could_not_be_made_is_made_when_there_is_room(
    own_host: OwnHost, hands: HostHands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk here is no fault of a machine, which is not left out for it; the next one gets its worker."""
    monkeypatch.setattr(hands_module, "own_version", lambda: "99.0")
    wheels = hands.means.wheel_dir
    wheels.parent.mkdir(parents=True, exist_ok=True)
    wheels.write_text("a file where a directory is to be")
    await hands.connect(address(own_host), 10.0)
    hands.rented = True
    monkeypatch.setattr(hands_module, "Wants", lambda *_, **__: Wants(0.0, card=False))
    assert await hands.probe() == ev.Lost(
        f"nothing to install: {wheels}: [Errno 17] File exists: '{wheels}'", blame=False
    )
    wheels.unlink()
    assert (await hands.means.wheel()).suffix == ".whl"
    hands.close()
    await hands.means.left(5)


async def test_what_a_dead_watcher_left_on_ones_own_host_is_deleted(own_host: OwnHost, hands: HostHands) -> None:
    """By the next one that comes in."""
    place = own_host.host.home / "job-runner-i0123456789abcdef"
    place.mkdir()
    os.utime(place, (0, 0))
    assert await hands.connect(address(own_host), 10.0) == ev.Connected()
    await wait_until(lambda: not place.exists())
    hands.close()
    await hands.means.left(5)


async def test_a_card_is_asked_of_what_is_rented_alone(own_host: OwnHost, hands: HostHands) -> None:
    """Row 43: a driver that does not work is found before anything is sent. And its dead-man is listened for."""
    own_host.host.remove()
    own = {"CONTAINER_ID": "7", "CONTAINER_API_KEY": "of-this-machine"}
    plan = replace(own_host.host.plan, gpu="mismatch")
    bad = type(own_host.host)(
        own_host.host.directory, onstart=onstart(600.0, "http://127.0.0.1:1"), plan=plan, onstart_env=own
    )
    keys = HostKeys.make()
    bad.allow(keys.public)
    bad.start()
    try:
        hands.keys, hands.rented = keys, True
        place = address_of(f"{bad.user}@127.0.0.1:{bad.port}")
        assert hands.silence == 0.0
        assert await hands.connect(place, 10.0) == ev.Connected()
        assert hands.silence > 0.0
        said = await hands.probe()
        assert isinstance(said, ev.Probed)
        assert said.why
        hands.close()
        assert hands.silence == 0.0
        await hands.means.left(5)
    finally:
        bad.remove()


async def test_without_a_connection_nothing_is_done(hands: HostHands, tmp_path: Path) -> None:
    """A step out of its turn is an error of the host's, which costs no job an attempt."""
    for step in (hands.probe, hands.canary):
        with pytest.raises(HostError):
            await step()
    job = spec("speak", text="A word.", voice="newsroom")
    with pytest.raises(HostError):
        await hands.speak(job, 1, lease_of(job), tmp_path, lambda _: None)  # type: ignore[arg-type]  # never used
