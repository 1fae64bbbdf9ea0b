"""Job-runner on a bare machine: Python, an environment of its own, and the wheel that the watcher sends.

An image of Dockerfile.worker needs none of it. What it depends on comes from the host's package index; job-runner
itself comes from here, so that both ends are the same version. Called after the probe, where it found no worker or
another version.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from job_watcher.finishing import to_the_end
from job_watcher.hosts.errors import BootstrapError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from job_watcher.hosts.host import Host

_SHOWN: Final = 100
_LAST_WORDS: Final = 600

# Answers with the path of a Python in its last line. `ensurepip` is what Debian's python3 lacks without python3-venv.
_PYTHON: Final = """\
export DEBIAN_FRONTEND=noninteractive
find_python() {
  for name in python3.13 python3.12 python3.11 python3; do
    found=$(command -v "$name") || continue
    "$found" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return 0
  done
  return 1
}
if ! find_python && command -v apt-get >/dev/null 2>&1; then
  apt-get -qq -o DPkg::Lock::Timeout=120 update &&
    apt-get -qqy -o DPkg::Lock::Timeout=120 install --no-install-recommends python3 python3-venv ca-certificates curl
fi
find_python && echo "$found" && exit 0
echo 'no Python of 3.11 or newer with venv, and none could be installed' >&2
exit 1"""


async def install(
    host: Host, wheel: Path, *, seconds: float, extras: Sequence[str] = (), on_step: Callable[[str], None] | None = None
) -> str:
    """Install it; the path of `job-runner` there. `on_step` is told each step, in the event loop.

    Raises:
        BootstrapError: a step failed, or `seconds` had passed; what the step ran there has been ended.
        HostLostError: the connection broke.
    """
    installation = _Installation(host, on_step or (lambda _: None))
    try:
        async with asyncio.timeout(seconds):
            return await installation.run(wheel, extras)
    except TimeoutError as exc:
        raise BootstrapError(
            f"{host.name} was not ready within {seconds:g} s; it was at: {installation.step}",
            hint="an image of Dockerfile.worker as VAST_IMAGE needs no installation",
        ) from exc


class _Installation:
    """The steps, one after the other; `step` is the one that is being done."""

    def __init__(self, host: Host, on_step: Callable[[str], None]) -> None:
        self._host = host
        self._on_step = on_step
        self.step = ""

    async def run(self, wheel: Path, extras: Sequence[str]) -> str:
        root = f"{await self._host.home()}/.job-runner"
        self._begin("send job-runner")
        await self._host.put(root, {wheel.name: wheel})
        python = await self._run("find Python", "sh", "-c", _PYTHON)
        await self._run("make an environment", python, "-m", "venv", f"{root}/venv")
        wanted = f"{root}/{wheel.name}" + (f"[{','.join(extras)}]" if extras else "")
        pip = (f"{root}/venv/bin/python", "-m", "pip", "--no-input", "--disable-pip-version-check")
        await self._run("install packages", *pip, "install", "--progress-bar", "off", wanted)
        program = f"{root}/venv/bin/job-runner"
        await self._run("try it", program, "--version")
        return program

    def _begin(self, step: str) -> None:
        self.step = step
        self._on_step(step)

    async def _run(self, step: str, *argv: str) -> str:
        """The last line of a program that must end well; its lines are told as they come."""
        self._begin(step)
        process = await self._host.start(argv)
        last = ""
        try:
            async for line in process.lines():
                last = line
                self._on_step(f"{step}: {line[:_SHOWN]}")
            code = await process.wait()
        except BaseException:
            # Where the connection is gone, or it will not die, the machine is given back.
            with contextlib.suppress(HostError):
                await to_the_end(process.kill())
            raise
        finally:
            process.forget()
        if code != 0:
            words = process.stderr_tail.strip()[-_LAST_WORDS:] or last
            raise BootstrapError(f"{self._host.name} could not {step} (status {code}): {words}")
        return last
