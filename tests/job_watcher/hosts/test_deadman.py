"""The dead-man destroys its host when nobody has renewed it, and only then; with whatever the host has to ask with.

Its clock is a file here, and where it would sleep it says so and waits to be told to go on. So a test knows what it did
at each time, nothing waits for real seconds, and nothing depends on how busy the machine is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from job_watcher.hosts.connection import Host, connect
from job_watcher.hosts.deadman import LONGEST, MARKET_URL, onstart, renew, revive
from tests.job_watcher.hosts.market_ear import MarketEar
from tests.job_watcher.hosts.sshd import Sshd, end_all, marked, state_of
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LIMIT: Final = 5
KEY: Final = "key-of-this-instance-alone"
NEEDED: Final = ("sh", "setsid", "mkdir", "cat", "tr", "sed", "grep", "id", "touch")
START: Final = 1_000
"""Seconds for which the machine has been up."""


SLEEP: Final = '#!/bin/sh\necho >"$TURNS/done"\nread -r _ <"$TURNS/go"\n'
"""In the place of `sleep`: a turn is over; the next begins when it is told so."""


class Machine:
    """A host without ssh: a home, the programs that it has, and a clock that the test sets."""

    def __init__(self, directory: Path, program: str) -> None:
        self.home = directory / "home"
        self.turns = directory / "turns"
        programs = directory / "bin"
        for folder in (self.home, self.turns, programs):
            folder.mkdir(parents=True)
        for name in NEEDED:
            (programs / name).symlink_to(str(shutil.which(name)))
        (programs / program).symlink_to(sys.executable if program == "python3" else str(shutil.which(program)))
        (programs / "sleep").write_text(SLEEP)
        (programs / "sleep").chmod(0o755)
        for name in ("done", "go"):
            os.mkfifo(self.turns / name)
        self.environment = {
            "HOME": str(self.home),
            "PATH": str(programs),
            "TURNS": str(self.turns),
            "DEAD_MAN_CLOCK": str(self.turns / "clock"),
            "CONTAINER_ID": "77",
            "CONTAINER_API_KEY": KEY,
        }
        self._set(START)

    def start(self, url: str, **more: object) -> None:
        """Run the start script, as a market does, to its end."""
        text = onstart(LIMIT, url, **more)  # type: ignore[arg-type]  # the test's own keywords
        subprocess.run(["sh", "-c", text], env=self.environment, check=True, timeout=10)

    async def begun(self) -> None:
        """The first turn is over: it knows what time it was when it started."""
        turns = os.open(self.turns / "done", os.O_RDONLY | os.O_NONBLOCK)
        try:
            await wait_until(lambda: _read(turns), what="the end of a turn")
        finally:
            os.close(turns)

    async def go_on(self, seconds: int) -> None:
        """It is so late after the start now, and the next turn begins."""
        self._set(START + seconds)
        await wait_until(lambda: _write(self.turns / "go"), what="that it waits for its next turn")

    async def at(self, seconds: int) -> None:
        """One whole turn at so many seconds after the start."""
        await self.go_on(seconds)
        await self.begun()

    def _set(self, seconds: int) -> None:
        (self.turns / "clock").write_text(f"{seconds}.25 1000.00\n")

    @property
    def folder(self) -> Path:
        """Where the dead-man lives."""
        return self.home / ".job-runner"

    def pid(self) -> int:
        """Of the dead-man; 0 before it has said so."""
        file = self.folder / "dead-man.pid"
        return int(file.read_text() or 0) if file.exists() else 0

    def renew(self, word: str) -> None:
        """As a watcher does by ssh."""
        (self.folder / "alive").write_text(word + "\n")

    def end(self) -> None:
        """Kill all that runs there."""
        end_all(f"HOME={self.home}")


def _read(fifo: int) -> bytes:
    """What somebody wrote, nothing while nobody has; a read that waited would outlive a test that fails."""
    try:
        return os.read(fifo, 100)
    except BlockingIOError:
        return b""


def _write(fifo: Path) -> bool:
    """Whether somebody reads there, who has the word then."""
    try:
        opened = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    os.write(opened, b"go\n")
    os.close(opened)
    return True


@pytest.fixture
async def market() -> AsyncIterator[MarketEar]:
    """What the dead-man asks."""
    async with MarketEar() as ear:
        yield ear


@pytest.fixture(params=["curl", "python3"])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A host that has only one of the two programs that can ask."""
    found = Machine(tmp_path, request.param)
    yield found
    found.end()


@pytest.fixture
def any_machine(tmp_path: Path) -> Iterator[Machine]:
    """A host with curl."""
    found = Machine(tmp_path, "curl")
    yield found
    found.end()


async def test_nobody_came_so_the_host_destroys_itself_again_and_again(machine: Machine, market: MarketEar) -> None:
    """Faults row 35: by its own key, at its own address, and until it is dead, whatever the market answers."""
    market.status = "503 Service Unavailable"
    machine.start(market.url)
    await machine.begun()
    await machine.at(LIMIT - 1)
    assert market.asked == []
    for turn in (1, 2):
        await machine.at(LIMIT + turn)
        assert len(market.asked) == turn
    for asked in market.asked:
        assert asked.line == "DELETE /api/v0/instances/77/ HTTP/1.1"
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert (asked.headers["content-type"], asked.body) == ("application/json", b"{}")


async def test_a_host_that_is_renewed_lives(any_machine: Machine, market: MarketEar) -> None:
    """Each renewal counts from when it is seen; the first that does not come in time is the end."""
    any_machine.start(market.url)
    await any_machine.begun()
    for turn in range(1, 5):
        any_machine.renew(f"turn {turn}")
        await any_machine.at(turn * (LIMIT - 1))
    assert market.asked == []
    await any_machine.at(4 * (LIMIT - 1) + LIMIT)
    assert len(market.asked) == 1


async def test_a_watcher_that_comes_back_before_the_market_answers_keeps_its_host(
    any_machine: Machine, market: MarketEar
) -> None:
    """The host is used again: the dead-man stops asking."""
    market.status = "500 Internal Server Error"
    any_machine.start(market.url)
    await any_machine.begun()
    await any_machine.at(LIMIT)
    assert len(market.asked) == 1
    any_machine.renew("back")
    await any_machine.at(LIMIT + 1)
    await any_machine.at(2 * LIMIT)
    assert len(market.asked) == 1


async def test_no_signal_but_the_last_one_ends_it(any_machine: Machine, market: MarketEar) -> None:
    """Neither a closing terminal nor an end of all that runs there."""
    any_machine.start(market.url)
    await any_machine.begun()
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE):
        os.kill(any_machine.pid(), each)
    await any_machine.at(LIMIT)
    assert len(market.asked) == 1


async def test_a_renewal_by_signal_counts_where_nothing_can_be_written(any_machine: Machine, market: MarketEar) -> None:
    """A full disk must not destroy a host that is at work."""
    any_machine.start(market.url)
    await any_machine.begun()
    os.kill(any_machine.pid(), signal.SIGUSR1)
    await any_machine.at(LIMIT)
    await any_machine.at(2 * LIMIT - 1)
    assert market.asked == []
    await any_machine.at(2 * LIMIT)
    assert len(market.asked) == 1


async def test_the_last_resort_comes_when_the_market_stays_silent_and_it_goes_on_asking(
    any_machine: Machine, market: MarketEar
) -> None:
    """After the patience has passed, not before."""
    market.status = "500 Internal Server Error"
    off = any_machine.home / "off"
    any_machine.start(market.url, last_resort=f"touch {off}", patience_seconds=100)
    await any_machine.begun()
    await any_machine.at(LIMIT + 99)
    assert (len(market.asked), off.exists()) == (1, False)
    await any_machine.at(LIMIT + 100)
    assert (len(market.asked), off.exists()) == (2, True)
    await any_machine.at(LIMIT + 101)
    assert len(market.asked) == 3


async def test_it_runs_once_however_often_it_is_started(any_machine: Machine, market: MarketEar) -> None:
    """A host that starts again runs its script again; one that was killed is replaced."""
    any_machine.start(market.url)
    await any_machine.begun()
    first = any_machine.pid()
    any_machine.start(market.url)
    await wait_until(lambda: len(marked(f"HOME={any_machine.home}")) == 2, what="it and its sleep, no other")
    await any_machine.at(1)
    assert any_machine.pid() == first
    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: state_of(first) in {"", "Z"})
    any_machine.start(market.url)
    await wait_until(lambda: any_machine.pid() not in {0, first})


async def test_without_a_key_there_is_no_dead_man(any_machine: Machine, market: MarketEar) -> None:
    """It could do nothing; the rest of the script goes on."""
    del any_machine.environment["CONTAINER_API_KEY"]
    any_machine.start(market.url, then=f"touch {any_machine.home}/went-on")
    assert (any_machine.home / "went-on").exists()
    await wait_until(lambda: not marked(f"HOME={any_machine.home}"))
    assert not any_machine.pid()


async def test_the_key_is_in_no_argument_and_no_file(machine: Machine, market: MarketEar) -> None:
    """Whoever lists the processes while it asks sees the address, not the key."""
    market.silent.set()
    machine.start(market.url)
    await machine.begun()
    await machine.go_on(LIMIT)
    await wait_until(lambda: market.asked)
    running = marked(f"HOME={machine.home}")
    arguments = b" ".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running)
    assert market.url.encode() in arguments
    assert KEY.encode() not in arguments
    files = [path for path in machine.home.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_the_script_is_short_enough_for_a_market() -> None:
    """With some room for what follows it; what is longer is said here and not at the market."""
    assert len(onstart(86_400, "https://a-rather-long-name-of-a-proxy.example.org:8443")) < LONGEST - 1_000
    assert MARKET_URL in onstart(600)
    with pytest.raises(ValueError, match="4000"):
        onstart(600, then="x" * LONGEST)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_every_shell_can_read_it(shell: str) -> None:
    """Markets run it by bash, as `sh` is often dash."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=onstart(600).encode(), check=True)


async def test_by_ssh_it_is_started_renewed_and_outlives_the_connection(own_sshd: Sshd) -> None:
    """A renewal says whether a dead-man runs; one that is started by ssh survives the logout and sshd itself."""
    own_sshd.stop()
    own_sshd.environment |= {"CONTAINER_ID": "77", "CONTAINER_API_KEY": KEY}
    own_sshd.start()
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    assert not await renew(host)
    assert await revive(host, 600, "http://127.0.0.1:9")
    assert await renew(host)
    alive = own_sshd.home / ".job-runner/alive"
    before = alive.read_text()
    assert await renew(host)
    assert alive.read_text() != before
    (own_sshd.home / ".job-runner/alive.new").mkdir()
    assert await renew(host)
    pid = int((own_sshd.home / ".job-runner/dead-man.pid").read_text())
    await host.aclose()
    own_sshd.stop()
    assert state_of(pid) in set("SRD")


async def test_a_host_of_ones_own_has_no_dead_man(host: Host) -> None:
    """It has no key of a market's: nothing is started, and that is told."""
    assert not await revive(host, 600)
