"""Real `job-watcher` processes for tests: started, killed, paused and waited for, one state directory a host.

Each runs from this tree with an environment of its own, logs to a file, and is known by the session that its
heartbeat names. Nothing here looks inside a watcher; tests see it through the queue. `tests/chaos` and
`tests/soak` use it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lib.failpoints import VARIABLE as FAILPOINT_VARIABLE
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]

LIFE_SECONDS = 3.0
SWEEP_SECONDS = 0.8
RENEW_SECONDS = 0.4

# A process imports for half a second alone, and for many times that beside others on two cores.
START_DEADLINE_SECONDS = 60.0
END_DEADLINE_SECONDS = 60.0

WATCHER = ("job_watcher.cli", "job-watcher")
RUNNER = ("job_runner.cli.app", "job-runner")


def command_of(program: tuple[str, str], *words: str) -> list[str]:
    """The command line of one of our programs, out of this tree whatever is installed."""
    module, name = program
    code = f"import sys; sys.argv[0] = {name!r}; from {module} import main; sys.exit(main())"
    return [sys.executable, "-P", "-c", code, *words]


def environment_of(url: str, prefix: str, state_dir: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of one of our programs: a short session life, and nothing of the caller's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {
        **kept,
        "HOME": str(state_dir),
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": url,
        "JOBS_PREFIX": prefix,
        "JOBS_STATE_DIR": str(state_dir),
        "WATCHER_SESSION_TTL": str(LIFE_SECONDS),
        "WATCHER_SESSION_RENEW_EVERY": str(RENEW_SECONDS),
        "WATCHER_POLL_INTERVAL": str(SWEEP_SECONDS),
        **more,
    }


@dataclass
class WatcherProcess:
    """One watcher under one name; `start` again after its end is the same watcher come back."""

    name: str
    url: str
    prefix: str
    state_dir: Path
    environ: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    """`("conduct",)` for one that only conducts."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started last, running or not."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        """What all its lives said."""
        return self.state_dir / f"{self.name}.log"

    @property
    def log(self) -> str:
        """The text of it."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self, *, failpoint: str = "") -> None:
        """Start the process and return at once; it dies by SIGKILL when it reaches `failpoint`."""
        assert not self.running, f"{self.name} runs already"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        environ = environment_of(self.url, self.prefix, self.state_dir, self.environ)
        if failpoint:
            environ[FAILPOINT_VARIABLE] = failpoint
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command_of(WATCHER, *self.command, "--consumer-name", self.name, *self.flags),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own session: Ctrl-C at the terminal ends the tests first, and they end the watcher.
                start_new_session=True,
                cwd=self.state_dir,
            )

    def kill(self) -> None:
        """SIGKILL, and wait for it; also one that is paused. Nothing to do when it has ended."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait(END_DEADLINE_SECONDS)

    def term(self) -> None:
        """SIGTERM, and do not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and it does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def ended(self, deadline_seconds: float = END_DEADLINE_SECONDS) -> int:
        """Wait until it has ended by itself; its exit code, negative for a signal."""
        process = self._process
        assert process is not None
        await wait_until(lambda: process.poll() is not None, deadline_seconds, what=f"the end of {self.name}")
        code: int = process.returncode
        return code


async def run_program(
    program: tuple[str, str], *words: str, environ: Mapping[str, str], cwd: Path
) -> tuple[int, str, str]:
    """Run one of our programs to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *command_of(program, *words),
        env=dict(environ),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), END_DEADLINE_SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
