"""A bare host gets the watcher's own job-runner: the wheel, the steps over ssh, their progress and their end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.metadata
import re
import site
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_watcher.hosts.bootstrap import install
from job_watcher.hosts.connection import connect
from job_watcher.hosts.errors import BootstrapError, HostLostError
from job_watcher.hosts.probe import Wants, probe
from job_watcher.hosts.wheel import make_wheel, own_version
from tests.job_watcher.hosts.sshd import marked, state_of
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.hosts.host import Host
    from tests.job_watcher.hosts.sshd import Sshd

HOUSE = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
async def bare(own_sshd: Sshd) -> AsyncIterator[Host]:
    """A host that finds programs of the test first; what job-runner depends on is there, and no package index.

    Its only Python that will do is the one of this run, which spares a new environment the seconds of a pip of its own.
    """
    for name in ("python3", "python3.11", "python3.12"):
        own_sshd.put_program(name, "exit 1")
    own_sshd.put_program("python3.13", f'[ "$2" != venv ] || set -- "$@" --without-pip; exec {sys.executable} "$@"')
    own_sshd.put_program("apt-get", "echo 'E: no network' >&2; exit 100")
    own_sshd.stop()
    own_sshd.environment |= {
        "PYTHONPATH": ":".join(site.getsitepackages()),
        # The packages of PYTHONPATH count as installed, job-runner among them.
        "PIP_IGNORE_INSTALLED": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
    }
    own_sshd.start()
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    yield host
    await host.aclose()


def test_the_wheel_is_one_by_the_rules(wheel: Path) -> None:
    """Name, metadata with what it depends on, and a record of every file with its hash."""
    assert wheel.name == f"job_runner-{own_version()}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        info = f"job_runner-{own_version()}.dist-info"
        files = {name: archive.read(name) for name in archive.namelist()}
    assert b"Requires-Dist: redis" in files[f"{info}/METADATA"]
    assert b"job-runner = job_runner.cli.app:main" in files[f"{info}/entry_points.txt"]
    recorded = {}
    for line in files[f"{info}/RECORD"].decode().splitlines():
        name, digest, _ = line.rsplit(",", 2)
        recorded[name] = digest
    assert recorded.keys() == files.keys()
    for name, data in files.items():
        if name != f"{info}/RECORD":
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert recorded[name] == f"sha256={expected}"


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    """All sources, the Lua too; no bytecode, no hidden file, nothing of the tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {
        *("job_runner", "job_watcher", "lib"),
        f"job_runner-{own_version()}.dist-info",
    }
    assert "lib/redisqueue/lua/commit.lua" in names
    assert "job_watcher/hosts/wheel.py" in names
    assert [name for name in names if "__pycache__" in name or "/." in name] == []


def test_two_wheels_of_one_installation_are_the_same(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte, whenever they are made."""
    assert make_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_a_program_that_was_not_installed_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what to do."""

    def nothing(_: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError("job-runner")

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(BootstrapError, match="not installed here"):
        make_wheel(tmp_path)


async def test_a_bare_host_has_job_runner_afterwards(bare: Host, own_sshd: Sshd, wheel: Path) -> None:
    """Real venv, real pip: the program answers from its own environment, each step was told, and a probe finds it."""
    steps: list[str] = []
    program = await install(bare, wheel, seconds=60, on_step=steps.append)
    assert program == f"{own_sshd.home}/.job-runner/venv/bin/job-runner"
    assert [step for step in steps if ":" not in step] == [
        *("send job-runner", "find Python", "make an environment", "install packages", "try it")
    ]
    assert any(step.startswith("install packages: Successfully installed job-runner") for step in steps)
    python = f"{own_sshd.home}/.job-runner/venv/bin/python"
    ran = await bare.run([python, "-c", "import lib; print(lib.__file__)"], seconds=20)
    assert ran.out.startswith(f"{own_sshd.home}/.job-runner/venv/")
    found = await probe(bare, Wants(0.001, card=False))
    assert (found.worker, found.version) == (program, own_version())


async def test_a_step_that_fails_is_named_with_the_hosts_last_words(bare: Host, own_sshd: Sshd, wheel: Path) -> None:
    """Here no Python is good enough, and none can be installed."""
    own_sshd.put_program("python3.13", "exit 1")
    with pytest.raises(BootstrapError, match=r"could not find Python \(status 1\): (?s:.*)no Python of 3\.11"):
        await install(bare, wheel, seconds=20)


async def test_python_is_installed_where_there_is_none(bare: Host, own_sshd: Sshd, wheel: Path, tmp_path: Path) -> None:
    """The steps go on with what the package manager brought; the extras are asked of pip."""
    program = own_sshd.programs / "python3.13"
    script = f'echo "python $*" >>{tmp_path}/said; case $* in *venv*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";; esac'
    program.unlink()
    own_sshd.put_program("brought", script)
    own_sshd.put_program("apt-get", f"case $* in *install*) cp {own_sshd.programs}/brought {program};; esac")
    with pytest.raises(BootstrapError, match="could not try it"):
        await install(bare, wheel, seconds=20, extras=["qwen", "s3"])
    said = (tmp_path / "said").read_text()
    assert re.search(r"-m pip --no-input .* install .*py3-none-any\.whl\[qwen,s3\]\n", said)


async def test_what_takes_too_long_is_ended(bare: Host, own_sshd: Sshd, wheel: Path) -> None:
    """The deadline is for all steps together; the one that hung is named, and nothing of it is left."""
    own_sshd.put_program("python3.13", "exit 1")
    own_sshd.put_program("apt-get", "sleep 1000 & sleep 1000")
    with pytest.raises(BootstrapError, match=r"not ready within 0\.7 s; it was at: find Python") as told:
        await install(bare, wheel, seconds=0.7)
    assert "Dockerfile.worker" in (told.value.hint or "")
    assert [pid for pid in marked(f"HOME={own_sshd.home}") if state_of(pid) != "Z" and is_program(pid)] == []


async def test_a_host_that_goes_away_in_the_middle_is_lost(
    bare: Host, own_sshd: Sshd, wheel: Path, tmp_path: Path
) -> None:
    """Not a failed installation: the machine, not the step, is at fault."""
    own_sshd.put_program("python3.13", f"touch {tmp_path}/begun; sleep 1000")
    installing = asyncio.create_task(install(bare, wheel, seconds=60))
    await wait_until((tmp_path / "begun").exists)
    own_sshd.stop()
    with pytest.raises(HostLostError):
        await asyncio.wait_for(installing, 20)


def is_program(pid: int) -> bool:
    """Whether it is anything but sshd's own sftp."""
    return not Path(f"/proc/{pid}/comm").read_text().startswith("sshd")
