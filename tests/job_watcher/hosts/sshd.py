"""A real sshd on loopback with a port, a host key and a home of its own, for tests of what is done over ssh."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import asyncssh

from job_watcher.hosts.keys import HostKeys
from lib.market.base import Address
from tests.support.servers import ServerFailedError, ServerMissingError, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

_START_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.01


class Sshd:
    """One server; its sessions have `home` as HOME and start in the home of this process's user.

    `environment` is what each session sees; what `put_program` writes is found before the machine's own programs.
    `address` stays while it is stopped and started again.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.programs = directory / "programs"
        for folder in (self.home, self.programs):
            folder.mkdir(parents=True)
        self.keys = HostKeys.make()
        (directory / "authorized").write_text(self.keys.public + "\n")
        self.address = Address("127.0.0.1", free_port(), user=_user())
        self.environment = {"HOME": str(self.home), "PATH": f"{self.programs}:/usr/bin:/bin", **(environment or {})}
        self.make_key()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the listening process."""
        assert self._process is not None
        return self._process.pid

    def make_key(self) -> None:
        """Another host key, from its next start on."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        path = self.directory / "host_key"
        path.write_bytes(key.export_private_key("openssh"))
        path.chmod(0o600)

    def put_program(self, name: str, text: str) -> None:
        """A shell script that stands before a program of this name."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def start(self) -> Self:
        """Start it and wait until it listens."""
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise ServerMissingError("sshd is not installed; on Debian: apt-get install openssh-server")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.directory / "sshd_config"
        config.write_text(self._config())
        log = (self.directory / "sshd.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        end = time.monotonic() + _START_SECONDS
        while b"listening" not in (said := (self.directory / "sshd.log").read_bytes()):
            if self._process.poll() is not None or time.monotonic() > end:
                raise ServerFailedError(said.decode(errors="replace"))
            time.sleep(_PAUSE_SECONDS)
        return self

    def stop(self) -> None:
        """End it with all its connections; what was started by them runs on, as on a real host."""
        if self._process is None:
            return
        for pid in [*self.sessions(), self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        (self.directory / "sshd.log").unlink()

    def pause(self) -> None:
        """SIGSTOP to the listener and to each connection: nothing answers and nothing is closed."""
        for pid in [self.pid, *self.sessions()]:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        for pid in [self.pid, *self.sessions()]:
            os.kill(pid, signal.SIGCONT)

    def sessions(self) -> list[int]:
        """The processes that serve connections; the programs that they started are none of them."""
        found, left = [], [self.pid]
        while left:
            children = [pid for pid in _children(left.pop()) if _name(pid).startswith("sshd")]
            found += children
            left += children
        return found

    def _config(self) -> str:
        given = " ".join(f'"{name}={value}"' for name, value in self.environment.items())
        return (
            f"Port {self.address.port}\nListenAddress 127.0.0.1\nHostKey {self.directory}/host_key\n"
            f"AuthorizedKeysFile {self.directory}/authorized\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"PasswordAuthentication no\nSubsystem sftp internal-sftp\nSetEnv {given}\n"
            "PermitRootLogin prohibit-password\nUseDNS no\nMaxStartups 100\n"
        )


def marked(text: str) -> list[int]:
    """The living processes whose environment holds this text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if text.encode() in (folder / "environ").read_bytes() and state_of(int(folder.name)) != "Z":
                    found.append(int(folder.name))
    return found


def end_all(text: str) -> None:
    """SIGKILL to the same, and to what they started meanwhile, until there are none."""
    while found := marked(text):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def state_of(pid: int) -> str:
    """As /proc has it, `Z` for a dead one that nobody has collected; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


def _user() -> str:
    import pwd  # noqa: PLC0415 - not on every system that only collects these tests

    return pwd.getpwuid(os.getuid()).pw_name


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
