"""Whom a watcher lets itself be connected to, for how long it tries, and how it knows that a host is gone."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from typing import TYPE_CHECKING

import asyncssh
import pytest

from job_watcher.hosts.connection import Host, connect
from job_watcher.hosts.errors import HostKeyChangedError, HostLostError, HostRefusedError
from job_watcher.hosts.keys import HostKeys, OwnKeys
from lib.errors import WaitError
from lib.market.base import Address
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_watcher.hosts.sshd import Sshd


async def test_a_pair_is_new_each_time_and_its_private_half_is_not_shown() -> None:
    """Each instance has a key of its own; whoever prints it sees the public half alone."""
    one, other = HostKeys.make(), HostKeys.make()
    assert one.public.startswith("ssh-ed25519 ")
    assert one.public.endswith(" job-runner")
    assert one.public != other.public
    assert b"PRIVATE KEY" in one.private
    assert "PRIVATE" not in repr(one)


async def test_the_key_of_the_first_connection_is_told_and_is_the_only_one_from_then_on(own_sshd: Sshd) -> None:
    """Faults row 42: a host that comes back with another key is another machine, and that is said at once."""
    first = await connect(own_sshd.address, own_sshd.keys, None, 10)
    await first.aclose()
    assert first.known_key.startswith(b"ssh-ed25519 ")
    again = await connect(own_sshd.address, own_sshd.keys, first.known_key + b" a comment\n", 10)
    assert again.known_key == first.known_key
    await again.aclose()
    own_sshd.stop()
    own_sshd.make_key()
    own_sshd.start()
    with pytest.raises(HostKeyChangedError, match="another host key than before"):
        await connect(own_sshd.address, own_sshd.keys, first.known_key, 10)


async def test_a_late_sshd_is_waited_for(own_sshd: Sshd) -> None:
    """Faults row 42: what refuses connections now may be up in a moment."""
    own_sshd.stop()
    connecting = asyncio.create_task(connect(own_sshd.address, own_sshd.keys, None, 20))
    await asyncio.sleep(0)
    await asyncio.to_thread(own_sshd.start)
    host = await connecting
    assert (await host.run(["true"], seconds=5)).code == 0
    await host.aclose()


async def test_a_host_that_accepts_and_says_nothing_is_given_up_at_the_deadline(own_sshd: Sshd) -> None:
    """Faults row 42: a stopped sshd, whose kernel still takes connections."""
    own_sshd.pause()
    with pytest.raises(HostLostError, match=r"let nobody in within 0\.4 s"):
        await connect(own_sshd.address, own_sshd.keys, None, 0.4)
    own_sshd.resume()


async def test_nobody_at_the_address_is_a_lost_host() -> None:
    """And it says why the last try failed; no job has used an attempt."""
    with pytest.raises(HostLostError, match="Connect call failed") as told:
        await connect(Address("127.0.0.1", free_port()), HostKeys.make(), None, 0.2)
    assert isinstance(told.value, WaitError)


async def test_an_address_that_is_none_is_a_lost_host() -> None:
    """A market may show any port; the sockets of this machine have other errors for that than the network has."""
    with pytest.raises(HostLostError, match="99999 let nobody in"):
        await connect(Address("127.0.0.1", 99_999, "somebody"), HostKeys.make(), None, 0.3)


async def test_a_key_that_is_not_let_in_is_refused_after_the_deadline(shared_sshd: Sshd) -> None:
    """A rented host may learn its new key a while after it answers, so it is tried for all that time."""
    # On a machine that is too busy to hear its answer within that time, it is given more.
    said: list[Exception] = []
    for seconds in (0.5, 5.0, 50.0):
        with pytest.raises((HostRefusedError, HostLostError)) as told:
            await connect(shared_sshd.address, HostKeys.make(), None, seconds)
        said.append(told.value)
        if told.type is HostRefusedError:
            break
    assert isinstance(said[-1], HostRefusedError)
    assert "does not let us in" in str(said[-1])


async def test_a_new_key_that_is_put_there_late_is_let_in(own_sshd: Sshd) -> None:
    """The market writes it while we already try."""
    keys = HostKeys.make()
    connecting = asyncio.create_task(connect(own_sshd.address, keys, None, 20))
    await wait_until(lambda: "Connection closed by authenticating" in (own_sshd.directory / "sshd.log").read_text())
    (own_sshd.directory / "authorized").write_text(keys.public + "\n")
    await (await connecting).aclose()


async def test_ones_own_key_that_is_not_let_in_is_refused_at_once(shared_sshd: Sshd, tmp_path: Path) -> None:
    """Nobody is about to install it; the deadline of a minute is not waited for."""
    (tmp_path / "key").write_bytes(HostKeys.make().private)
    with pytest.raises(HostRefusedError) as told:
        await connect(shared_sshd.address, OwnKeys(tmp_path / "key"), None, 60)
    assert "VAST_SSH_KEY" in (told.value.hint or "")


async def test_a_file_that_is_no_key_is_said(shared_sshd: Sshd, tmp_path: Path) -> None:
    """As it is when the file needs a passphrase: the name of the setting is in the hint."""
    (tmp_path / "key").write_text("no key\n")
    with pytest.raises(HostRefusedError, match="cannot be used") as told:
        await connect(shared_sshd.address, OwnKeys(tmp_path / "key"), None, 60)
    assert "VAST_SSH_KEY" in (told.value.hint or "")


async def test_ones_own_key_and_known_hosts_are_used(
    shared_sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that known_hosts names must have that key; one that it does not name is pinned at first sight."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "key").write_bytes(shared_sshd.keys.private)
    keys = OwnKeys(tmp_path / "key")
    host = await connect(shared_sshd.address, keys, None, 10)
    await host.aclose()
    name = f"[127.0.0.1]:{shared_sshd.address.port}"
    (tmp_path / ".ssh/known_hosts").write_text(f"{name} {host.known_key.decode()}\n")
    await (await connect(shared_sshd.address, keys, None, 10)).aclose()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode()
    (tmp_path / ".ssh/known_hosts").write_text(f"{name} {other}")
    with pytest.raises(HostKeyChangedError):
        await connect(shared_sshd.address, keys, None, 10)


async def test_the_users_ssh_configuration_is_not_read(
    shared_sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Host block with another port or a proxy would lead a rented host's connection elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host *\n  User nobody-here\n  ProxyCommand /bin/false\n")
    await (await connect(shared_sshd.address, shared_sshd.keys, None, 10)).aclose()


async def test_a_connection_that_breaks_is_known_at_once(own_sshd: Sshd) -> None:
    """Whatever is asked of it afterwards is HostLostError, never asyncssh's own."""
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    own_sshd.stop()
    await asyncio.wait_for(host.lost.wait(), 10)
    for asked in (
        host.start(["true"]),
        host.run(["true"], seconds=5),
        host.put("/nowhere", {"a": b""}),
        host.get("/nowhere", own_sshd.directory / "got"),
        host.home(),
    ):
        with pytest.raises(HostLostError, match="is gone"):
            await asked
    await host.aclose()
    await host.aclose()


async def test_a_host_that_falls_silent_is_lost(own_sshd: Sshd) -> None:
    """Its connection stays open and nothing comes: three questions without an answer are enough."""
    host = await connect(own_sshd.address, own_sshd.keys, None, 10, keepalive_seconds=0.1)
    process = await host.start(["sleep", "1000"])
    for pid in own_sshd.sessions():
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(HostLostError, match="connection"):
        await asyncio.wait_for(process.wait(), 10)
    assert host.lost.is_set()
    await host.aclose()


async def test_a_short_program_that_hangs_is_killed_and_the_host_counts_as_lost(host: Host, shared_sshd: Sshd) -> None:
    """The time is the caller's, and nothing of it is left there."""
    with pytest.raises(HostLostError, match=r"did not answer within 0\.2 s: no end of sleep"):
        await host.run(["sleep", "1234"], seconds=0.2)
    ran = await host.run(["sh", "-c", "ps -eo args | grep '[s]leep 1234'"], seconds=5)
    assert ran.out == ""
    assert shared_sshd.pid


async def test_a_short_program_says_what_it_says(host: Host) -> None:
    """Its code, its two outputs and its input; a death by a signal is negative."""
    ran = await host.run(["sh", "-c", "cat; echo no >&2; exit 3"], seconds=5, stdin="ä\n".encode())
    assert dataclasses.astuple(ran) == (3, "ä\n", "no\n")
    assert (await host.run(["sh", "-c", "kill -9 $$"], seconds=5)).code == -9
    assert (await host.run(["no-such-program"], seconds=5)).code == 127
