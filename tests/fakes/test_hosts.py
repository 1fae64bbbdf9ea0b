"""The fake's hosts are real ones: the real ssh goes in, this checkout's programs run, and nothing stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hosts import Host, HostMissingError, HostPlan, need_sshd
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _sshd() -> None:
    try:
        need_sshd()
    except HostMissingError as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(str(exc))
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key pair of the renter."""
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def host_in(place: Path, key: Path, plan: HostPlan | None = None, onstart: str = "") -> Host:
    """A host that is off, and lets this key in."""
    host = Host(
        place / "host",
        plan=plan or HostPlan(),
        onstart=onstart,
        onstart_env={"CONTAINER_ID": "7", "CONTAINER_API_KEY": "k7"},
    )
    host.allow(key.with_suffix(".pub").read_text())
    return host


@pytest.fixture
def host(tmp_path: Path, key: Path) -> Iterator[Host]:
    """A usual one, which is on."""
    host = host_in(tmp_path, key)
    host.start()
    yield host
    host.kill()


def ssh(host: Host, key: Path, command: str, *, known: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a command there says; `known` is the one host key that is believed, None: any."""
    known_hosts = key.parent / f"known_{host.port}"
    known_hosts.write_text("" if known is None else f"[127.0.0.1]:{host.port} {known}\n")
    words = {"UserKnownHostsFile": str(known_hosts), "ConnectTimeout": "5", "BatchMode": "yes", "LogLevel": "ERROR"}
    words["StrictHostKeyChecking"] = "no" if known is None else "yes"
    options = [word for name, value in words.items() for word in ("-o", f"{name}={value}")]
    start = ["ssh", "-F", "none", "-i", str(key), "-p", str(host.port), *options, f"{host.user}@127.0.0.1"]
    return subprocess.run([*start, command], capture_output=True, text=True, timeout=30, check=False)


def test_a_session_is_at_home_and_finds_this_checkouts_programs(host: Host, key: Path) -> None:
    """HOME, the working directory and PATH are the host's own, and the host key is the one that it shows."""
    said = ssh(host, key, 'pwd; echo "$HOME"; command -v job-runner nvidia-smi', known=host.host_key)
    home, told, program, gpu = said.stdout.splitlines()
    assert home == told == str(host.home)
    assert Path(program).parent == Path(sys.executable).parent
    assert gpu == str(host.directory / "bin/nvidia-smi")


def test_onstart_runs_first_with_the_names_that_the_market_gives(tmp_path: Path, key: Path) -> None:
    """It has the instance's id and key in its environment; a session over ssh has not."""
    host = host_in(tmp_path, key, onstart='echo "$CONTAINER_ID $CONTAINER_API_KEY" > "$HOME/started"')
    host.start()
    try:
        said = ssh(host, key, 'while ! [ -s started ]; do :; done; cat started; echo "[$CONTAINER_API_KEY]"')
        assert said.stdout.splitlines() == ["7 k7", "[]"]
    finally:
        host.kill()


async def test_a_host_that_is_killed_leaves_no_process(tmp_path: Path, key: Path) -> None:
    """Neither the sshd and its sessions, nor a daemon of onstart that left its parent and its session."""
    host = host_in(tmp_path, key, onstart="(setsid sleep 1001 &) ; setsid setsid sleep 1002 & ")
    host.start()
    ssh(host, key, "setsid sleep 1003 >/dev/null 2>&1 &")
    await wait_until(lambda: len(host.processes()) >= 4)
    before = host.processes()
    host.kill()
    assert [pid for pid in before if Path(f"/proc/{pid}").exists()] == []
    assert not host.alive
