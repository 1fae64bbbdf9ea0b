"""The fake's hosts are real ones: the real ssh goes in, this checkout's programs run, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hosts import HOUSE, Host, HostMissingError, HostPlan
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("sshd")


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


def ssh_command(host: Host, key: Path, known: str | None = None) -> list[str]:
    """The start of a command line; `known` is the one host key that is believed, None: any."""
    known_hosts = key.parent / f"known_{host.port}"
    known_hosts.write_text("" if known is None else f"[127.0.0.1]:{host.port} {known}\n")
    words = {"UserKnownHostsFile": str(known_hosts), "ConnectTimeout": "5", "BatchMode": "yes", "LogLevel": "ERROR"}
    words["StrictHostKeyChecking"] = "no" if known is None else "yes"
    options = [word for name, value in words.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", "-i", str(key), "-p", str(host.port), *options, f"{host.user}@127.0.0.1"]


def ssh(host: Host, key: Path, command: str, *, known: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a command there says."""
    start = ssh_command(host, key, known)
    return subprocess.run([*start, command], capture_output=True, text=True, timeout=30, check=False)


def size(path: Path) -> int:
    """Of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def told_of(pid: int, what: str) -> bytes:
    """What /proc says of it, or nothing where it is gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def stopped(pid: int) -> bool:
    """Whether it stands still."""
    return told_of(pid, "stat").rpartition(b")")[2].split()[:1] == [b"T"]


def test_a_session_is_at_home_and_finds_this_checkouts_programs(host: Host, key: Path) -> None:
    """HOME, the working directory and PATH are the host's own, and the host key is the one that it shows."""
    said = ssh(host, key, 'pwd; echo "$HOME"; command -v job-runner nvidia-smi', known=host.host_key)
    home, told, program, gpu = said.stdout.splitlines()
    assert home == told == str(host.home)
    assert Path(program).parent == Path(sys.executable).parent
    assert gpu == str(host.directory / "bin/nvidia-smi")


def test_a_bare_host_has_a_python_and_nothing_of_this_checkout(tmp_path: Path, key: Path) -> None:
    """No program of ours and no library; and its package manager is not the one of this machine."""
    bare = host_in(tmp_path, key, HostPlan(bare=True)).start()
    try:
        said = ssh(bare, key, "command -v job-runner; python3 -c 'import job_runner' 2>&1; apt-get update; echo $?")
        assert "No module named" in said.stdout
        assert said.stdout.splitlines()[-1] == "100"
        assert str(Path(sys.executable).parent) not in said.stdout
    finally:
        bare.remove()


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


async def test_programs_there_ignore_no_signal(tmp_path: Path, key: Path) -> None:
    """Neither those of onstart nor those of a session: SIGTERM ends them, as on any machine."""
    host = host_in(tmp_path, key, onstart="exec sleep 1013")
    host.start()
    try:
        ignored = int(ssh(host, key, "grep SigIgn /proc/self/status").stdout.split()[1], 16)
        assert [each for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if ignored >> (each - 1) & 1] == []
        await wait_until(lambda: any(b"sleep\x001013" in told_of(pid, "cmdline") for pid in host.processes()))
        [pid] = [pid for pid in host.processes() if b"sleep\x001013" in told_of(pid, "cmdline")]
        os.kill(pid, signal.SIGTERM)
        await wait_until(lambda: pid not in host.processes())
        assert host.alive
    finally:
        host.kill()


def test_a_host_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """SIGKILL gives nobody a chance to clean up, and still nothing stays behind."""
    start = (
        "import pathlib, sys\nfrom tests.fakes.hosts import Host\n"
        "host = Host(pathlib.Path(sys.argv[1]), onstart='(setsid sleep 1004 &)').start()\n"
        "while len(host.processes()) < 2: pass\n"
        "print(*host.processes(), flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start, str(tmp_path / "host")],
        cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as starter:  # fmt: skip
        assert starter.stdout is not None
        pids = starter.stdout.readline().split()
        starter.kill()
    assert len(pids) >= 2
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end, pids


def test_a_host_dies_when_its_starter_ends_without_a_word(tmp_path: Path) -> None:
    """A test that forgets to kill it leaves no process."""
    start = (
        "import pathlib, sys\nfrom tests.fakes.hosts import Host\n"
        "host = Host(pathlib.Path(sys.argv[1])).start()\nprint(*host.processes())\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", start, str(tmp_path / "host")], cwd=HOUSE, capture_output=True, text=True, check=True
    )
    assert said.stdout.split()
    assert [pid for pid in said.stdout.split() if Path(f"/proc/{pid}").exists()] == []


def test_switched_on_again_it_is_the_same_machine(host: Host, key: Path) -> None:
    """Files, port and host key are kept, as on a disk; what ran there is not."""
    known = host.host_key
    assert ssh(host, key, "echo kept > file; setsid sleep 1005 >/dev/null 2>&1 &").returncode == 0
    host.kill()
    assert ssh(host, key, "true").returncode == 255
    host.start()
    assert ssh(host, key, "cat file", known=known).stdout == "kept\n"
    assert not any(b"sleep\x001005" in told_of(pid, "cmdline") for pid in host.processes())


def test_files_go_in_and_out_by_sftp_from_its_home(host: Host, key: Path, tmp_path: Path) -> None:
    """Relative paths are those of its home."""
    (tmp_path / "in").write_bytes(b"\0\1" * 5000)
    orders = f"put {tmp_path}/in there\nget there {tmp_path}/out\n"
    command = ssh_command(host, key)
    command = ["sftp", *["-P" if word == "-p" else word for word in command[1:]]]
    subprocess.run(command, input=orders, text=True, capture_output=True, timeout=30, check=True)
    assert (host.home / "there").read_bytes() == (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_a_key_that_was_not_let_in_stays_out(host: Host, key: Path) -> None:
    """Nor does a password or anything else help."""
    (host.etc / "authorized_keys").write_text("")
    assert "Permission denied" in ssh(host, key, "true").stderr
    host.allow(key.with_suffix(".pub").read_text())
    assert ssh(host, key, "true").returncode == 0


def test_a_late_sshd_refuses_at_first(tmp_path: Path, key: Path) -> None:
    """The host is on, and onstart runs; ssh answers when its time has come. Row 42."""
    for seconds, answers in ((3600.0, False), (0.05, True)):
        host = host_in(tmp_path / str(seconds), key, HostPlan(sshd_late=seconds), onstart="touch begun")
        try:
            host.start()
            end = time.monotonic() + 20
            while not (host.home / "begun").exists():
                assert time.monotonic() < end
            while answers != (ssh(host, key, "true").returncode == 0):
                assert time.monotonic() < end
        finally:
            host.kill()


def test_a_frozen_host_accepts_and_says_nothing(tmp_path: Path, key: Path) -> None:
    """The connection stands and no word comes; its own programs run on unless all of it is frozen. Row 42."""
    host = host_in(tmp_path, key, onstart="while :; do echo . >> beats; sleep 0.01; done")
    try:
        host.start()
        host.freeze()
        with socket.create_connection(("127.0.0.1", host.port), 5) as link:
            link.settimeout(0.1)
            with pytest.raises(TimeoutError):
                link.recv(1)
        beats = size(host.home / "beats")
        end = time.monotonic() + 10
        while size(host.home / "beats") == beats:
            assert time.monotonic() < end
        host.freeze(all_of_it=True)
        while not all(stopped(pid) for pid in host.processes()):
            assert time.monotonic() < end
        host.thaw()
        assert ssh(host, key, "true").returncode == 0
    finally:
        host.kill()


def test_a_frozen_host_can_be_killed(host: Host) -> None:
    """Nothing of it is left either."""
    pids = host.processes()
    host.freeze(all_of_it=True)
    host.kill()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_swapped_host_key_is_another_one(host: Host, key: Path) -> None:
    """Whoever knows the first refuses the second; sessions that were open are ended. Row 42."""
    known = host.host_key
    with subprocess.Popen(
        [*ssh_command(host, key), "sleep 1006"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as session:
        while not any(b"sleep\x001006" in told_of(pid, "cmdline") for pid in host.processes()):
            assert session.poll() is None
        host.swap_key()
        assert session.wait(20) == 255
    assert host.host_key != known
    assert ssh(host, key, "true", known=known).returncode == 255
    assert ssh(host, key, "true", known=host.host_key).returncode == 0


SMI = "nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits"


@pytest.mark.parametrize(
    ("plan", "code", "words"),
    [
        (HostPlan(), 0, "NVIDIA GeForce RTX 4090, 24564, 570.86.15"),
        (HostPlan(gpu="small"), 0, "NVIDIA GeForce RTX 4090, 2048, 570.86.15"),
        (HostPlan(gpu="no_driver"), 9, "couldn't communicate with the NVIDIA driver"),
        (HostPlan(gpu="mismatch"), 18, "Driver/library version mismatch"),
        (HostPlan(gpu="none"), 127, ""),
    ],
    ids=lambda value: value.gpu if isinstance(value, HostPlan) else None,
)
def test_the_gpu_is_as_planned(tmp_path: Path, plan: HostPlan, code: int, words: str) -> None:
    """Without ssh: the program alone, with the PATH of the host. Row 43."""
    host = Host(tmp_path / "host", plan=plan)
    said = subprocess.run(
        ["/bin/sh", "-c", SMI],
        env={"PATH": f"{host.directory}/bin:/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == code
    assert words in said.stdout


def test_its_disk_can_be_full(tmp_path: Path, key: Path) -> None:
    """A home of two megabytes takes no three, and only the host sees it. Row 43."""
    host = host_in(tmp_path, key, HostPlan(disk_mb=2))
    try:
        host.start()
    except HostMissingError:
        pytest.skip("this user may not mount a file system")
    try:
        said = ssh(host, key, "head -c 3000000 /dev/zero > big; df --output=avail . | tail -1; touch here")
        assert "No space left" in said.stderr
        assert said.stdout.strip() == "0"
        assert not (host.home / "here").exists()
    finally:
        host.kill()


def test_its_network_can_be_slow(tmp_path: Path, key: Path) -> None:
    """A fifth of a megabyte at one a second takes as long as it must, and what is sent arrives whole. Row 43."""
    host = host_in(tmp_path, key, HostPlan(bytes_a_second=1_000_000))
    try:
        host.start()
        began = time.monotonic()
        said = ssh(host, key, "head -c 200000 /dev/zero | tr '\\0' x")
        assert time.monotonic() - began >= 0.2
        assert said.stdout == "x" * 200_000
    finally:
        host.kill()


def test_a_program_of_the_plan_comes_first(tmp_path: Path, key: Path) -> None:
    """So a host can have a worker that lies. Row 45."""
    host = host_in(tmp_path, key, HostPlan(programs={"job-runner": "#!/bin/sh\necho 'I am done: $*'\n"}))
    try:
        host.start()
        assert ssh(host, key, "job-runner --version").stdout == "I am done: $*\n"
    finally:
        host.kill()


def test_nothing_of_whoever_starts_it_is_there(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the starter's environment, in no process of it. Row 45."""
    monkeypatch.setenv("A_SECRET_OF_THE_STARTER", "s3cr3t-canary")
    host = host_in(tmp_path, key, onstart="sleep 1007")
    try:
        host.start()
        assert "canary" not in ssh(host, key, "env").stdout
        environments = [told_of(pid, "environ") for pid in host.processes()]
        assert any(environments)
        assert not any(b"canary" in each for each in environments)
    finally:
        host.kill()


def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path, key: Path) -> None:
    """Between the look for a free port and the start, another test may have got it."""
    host = host_in(tmp_path, key)
    with socket.create_server(("127.0.0.1", host.port)) as taken:
        try:
            host.start()
            assert host.port != taken.getsockname()[1]
            assert ssh(host, key, "true").returncode == 0
        finally:
            host.kill()
