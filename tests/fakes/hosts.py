"""A rented host: a real sshd on loopback with its own port, key and home, that runs this checkout's programs.

Everything in it is a child of `tests.fakes.host_init`, which kills all of it when the host is killed or when whoever
started it is gone. It is no container: it sees the machine's files and its other processes. `nvidia-smi` is a script.
As root it is logged in to as root, else as the user who runs the tests. Called by `tests.fakes.vast_server` and by
tests that need a host and no market.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from tests.fakes.host_programs import BARE_PROGRAMS, NVIDIA_SMI

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUSE: Final = Path(__file__).parents[2]
SSHD: Final = "/usr/sbin/sshd"
_SFTP: Final = "/usr/lib/openssh/sftp-server"
_UP_SECONDS: Final = 20.0
_TRIES: Final = 5

Gpu = Literal["good", "no_driver", "mismatch", "small", "slow", "none"]


class HostMissingError(Exception):
    """This machine has not what such a host needs."""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What a host is like. `sshd_late` is seconds before its sshd listens, `disk_mb` the size of its home, if limited.

    `gpu`: as `nvidia-smi` shows it, and `memory_mb` its memory; `no_driver` and `mismatch` fail as a bad driver does,
    `slow` never answers, `none` is not there. `bytes_a_second` is all that its network carries each way. `programs`
    are scripts that come first in PATH, by name: a worker that lies, for one. `env` is seen by everything there. A
    `bare` one has nothing of this checkout, as a new Ubuntu: only a Python, and no package manager that would be
    asked for another one.
    """

    sshd_late: float = 0.0
    gpu: Gpu = "good"
    gpu_name: str = "NVIDIA GeForce RTX 4090"
    memory_mb: int = 24_564
    disk_mb: int | None = None
    bytes_a_second: int | None = None
    bare: bool = False
    programs: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


_ALIVE: Final = weakref.WeakSet["Host"]()


class Host:
    """One host in `directory`; `onstart` runs first when it starts, with `onstart_env` besides its environment."""

    def __init__(
        self,
        directory: Path,
        *,
        plan: HostPlan = HostPlan(),
        onstart: str = "",
        env: Mapping[str, str] | None = None,
        onstart_env: Mapping[str, str] | None = None,
    ) -> None:
        need_sshd()
        self.directory = directory
        self.home = directory / "home"
        self.etc = directory / "etc"
        self.plan = plan
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self._take_ports()
        self._onstart = onstart
        self._onstart_env = dict(onstart_env or {})
        self._env = {**plan.env, **(env or {})}
        self._init: subprocess.Popen[str] | None = None
        self._sshd = 0
        self._lock = threading.RLock()
        for each in (self.home / ".ssh", self.etc, directory / "bin", directory / "log"):
            each.mkdir(parents=True, exist_ok=True)
        (self.etc / "authorized_keys").touch(mode=0o600)
        self._make_key()
        self._write_files()

    @property
    def alive(self) -> bool:
        """Whether it is on."""
        return self._init is not None

    @property
    def host_key(self) -> str:
        """Its public key, as one line of `known_hosts` has it after the name."""
        return " ".join((self.etc / "host_key.pub").read_text().split()[:2])

    @property
    def log(self) -> str:
        """What its sshd and its onstart have said."""
        return "".join(each.read_text(errors="replace") for each in sorted((self.directory / "log").iterdir()))

    def allow(self, public_key: str) -> None:
        """Let this ssh key in."""
        with (self.etc / "authorized_keys").open("a") as file:
            file.write(public_key.strip() + "\n")

    def start(self) -> Self:
        """Switch it on; returns when sshd listens, where it is not to be late. What is in its directory is kept.

        Raises:
            HostMissingError: it cannot have a disk of its own, or sshd does not start.
        """
        with self._lock:
            if self.alive:
                return self
            if os.geteuid() == 0:
                Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            disk = [] if self.plan.disk_mb is None else ["--disk", str(self.home), str(self.plan.disk_mb)]
            self._init = subprocess.Popen(
                [sys.executable, "-I", "-S", str(HOUSE / "tests/fakes/host_init.py"), *disk],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment(),
                cwd=self.home,
                text=True,
                start_new_session=True,
            )
            _ALIVE.add(self)
            if self._onstart:
                self._spawn(["/bin/sh", str(self.etc / "onstart")], "onstart", self._onstart_env)
            self._start_sshd(self.plan.sshd_late)
            if self.plan.bytes_a_second is not None:
                self._start_relay(self.plan.bytes_a_second)
        return self

    def kill(self) -> None:
        """Switch it off: every process of it is gone when this returns. Repeatable; `start` switches it on again."""
        with self._lock:
            init, self._init = self._init, None
            if init is None or init.stdin is None or init.stdout is None:
                return
            with contextlib.suppress(OSError):
                init.stdin.close()
            init.stdout.close()
            init.wait(_UP_SECONDS)
            _ALIVE.discard(self)

    def freeze(self, *, all_of_it: bool = False) -> None:
        """Its sshd and every session stand still and answer nothing; `all_of_it`: whatever else runs there too."""
        self._order({"freeze": 0 if all_of_it else self._sshd})

    def thaw(self) -> None:
        """Everything goes on."""
        self._order({"thaw": 0})

    def swap_key(self) -> None:
        """From now on it answers with another host key, as a machine in the middle would; sessions are ended."""
        with self._lock:
            self._make_key()
            self._order({"kill": self._sshd})
            self._start_sshd(0.0)

    def processes(self) -> list[int]:
        """Everything that runs there, beside its first process."""
        return [] if self._init is None else list(self._order({"list": 0}))

    def _start_sshd(self, late: float) -> None:
        run = f"exec {SSHD} -D -e -f {shlex.quote(str(self.etc / 'sshd_config'))}"
        said = self.directory / "log" / "sshd"
        for _ in range(_TRIES):
            self._write_config()
            before = said.stat().st_size if said.exists() else 0
            self._sshd = int(self._spawn(["/bin/sh", "-c", f"sleep {late}; {run}" if late else run], "sshd", {}))
            if late or self._says(self._sshd, said, before, f" port {self._sshd_port}."):
                return
            # Somebody has taken the port since it was found free.
            self._take_ports()
        log = self.log
        self.kill()
        raise HostMissingError(f"sshd does not start: {log}")

    def _start_relay(self, rate: int) -> None:
        relay = str(HOUSE / "tests/fakes/host_relay.py")
        ends = [str(each) for each in (self.port, self._sshd_port, rate)]
        pid = int(self._spawn([sys.executable, "-I", "-S", relay, *ends], "relay", {}))
        if not self._says(pid, self.directory / "log" / "relay", 0, "listens"):
            self.kill()
            raise HostMissingError(f"port {self.port} is taken")

    def _says(self, pid: int, log: Path, after: int, words: str) -> bool:
        """Wait until it has said this; False where it ended before."""
        end = time.monotonic() + _UP_SECONDS
        while time.monotonic() < end:
            ended = not Path(f"/proc/{pid}/stat").exists()
            if words.encode() in log.read_bytes()[after:]:
                return True
            if ended:
                return False
            time.sleep(0.002)
        return False

    def _take_ports(self) -> None:
        self.port = _free_port()
        self._sshd_port = self.port if self.plan.bytes_a_second is None else _free_port()

    def _spawn(self, argv: list[str], log: str, env: Mapping[str, str]) -> Any:
        return self._order(
            {
                "spawn": argv,
                "env": {**self._environment(), **env},
                "cwd": str(self.home),
                "log": str(self.directory / "log" / log),
            }
        )

    def _order(self, order: Mapping[str, Any]) -> Any:
        with self._lock:
            init = self._init
            if init is None or init.stdin is None or init.stdout is None:
                raise HostMissingError("the host is off")
            try:
                init.stdin.write(json.dumps(order) + "\n")
                init.stdin.flush()
                return json.loads(init.stdout.readline())
            except (OSError, ValueError) as exc:
                self.kill()
                raise HostMissingError("the host's first process is gone; is it allowed a disk of its own?") from exc

    def _environment(self) -> dict[str, str]:
        """All that anything there has: nothing of whoever starts it."""
        ours = [] if self.plan.bare else [str(Path(sys.executable).parent)]
        programs = [str(self.directory / "bin"), *ours, "/usr/bin", "/bin"]
        return {
            "PATH": ":".join(programs),
            **({} if self.plan.bare else {"PYTHONPATH": str(HOUSE)}),
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            **self._env,
        }

    def _make_key(self) -> None:
        key = self.etc / "host_key"
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "host", "-f", str(key)], check=True)

    def _write_files(self) -> None:
        (self.etc / "onstart").write_text(self._onstart)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self._environment().items())
        # sshd starts everything in the user's real home, so each session goes to this one first.
        enter = self.etc / "enter"
        enter.write_text(
            f"{exports}cd {shlex.quote(str(self.home))}\n"
            "command=$SSH_ORIGINAL_COMMAND\nunset SSH_ORIGINAL_COMMAND OLDPWD\n"
            'case "$command" in\n'
            '"") exec "${SHELL:-/bin/sh}" ;;\n'
            f"internal-sftp) exec {_SFTP} ;;\n"
            '*) exec "${SHELL:-/bin/sh}" -c "$command" ;;\n'
            "esac\n"
        )
        memory = 2048 if self.plan.gpu == "small" else self.plan.memory_mb
        figures = f"kind={self.plan.gpu}\nname={shlex.quote(self.plan.gpu_name)}\nmemory={memory}\n"
        gpu = {} if self.plan.gpu == "none" else {"nvidia-smi": f"#!/bin/sh\n{figures}{NVIDIA_SMI}"}
        bare = BARE_PROGRAMS if self.plan.bare else {}
        for name, text in {**gpu, **bare, **self.plan.programs}.items():
            program = self.directory / "bin" / name
            program.write_text(text)
            program.chmod(0o755)

    def _write_config(self) -> None:
        (self.etc / "sshd_config").write_text(
            f"Port {self._sshd_port}\nListenAddress 127.0.0.1\nHostKey {self.etc}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {self.etc}/authorized_keys {self.home}/.ssh/authorized_keys\n"
            # The default exchange of keys takes an old processor a tenth of a second more.
            "KexAlgorithms curve25519-sha256\n"
            "UsePAM no\nStrictModes no\nUseDNS no\nPasswordAuthentication no\nPrintMotd no\nMaxStartups 100\n"
            f"PermitRootLogin prohibit-password\nMaxSessions 100\nSubsystem sftp internal-sftp\n"
            f'SetEnv "PATH={self._environment()["PATH"]}" "HOME={self.home}"\n'
            f"ForceCommand /bin/sh {shlex.quote(str(self.etc / 'enter'))}\n"
        )

    def remove(self) -> None:
        """Kill it, and delete its files: nothing is left."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def need_sshd() -> None:
    """Nothing, where hosts can be made.

    Raises:
        HostMissingError: there is no sshd on this machine.
    """
    if not Path(SSHD).exists():
        raise HostMissingError(f"{SSHD} is missing; Debian: apt-get install openssh-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@atexit.register
def _kill_all() -> None:
    for each in list(_ALIVE):
        each.kill()
