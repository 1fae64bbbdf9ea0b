"""What tests of the face need: the program on a queue of their own, files, and a watcher by hand."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from job_runner.cli.app import main
from lib.calling import RUN_VARIABLE
from lib.command_line.boundary import DEBUG_VARIABLE
from tests.support.hand import HandWatcher, hand_watcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PROGRAM = (sys.executable, "-m", "job_runner.cli.app")
"""The program as a process of its own."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?")
_STREAM_ID = re.compile(r"\b\d{13}-\d+\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded

    @property
    def settled(self) -> str:
        """Stdout with what differs from run to run replaced: times and stream ids."""
        return settled(self.out)


def settled(text: str) -> str:
    """The text with times and stream ids replaced."""
    return _STREAM_ID.sub("<stream id>", _TIME.sub("<time>", text))


@dataclass(slots=True)
class JobRunner:
    """The program `job-runner`, in this process, on a queue of this test's own."""

    url: str
    prefix: str
    home: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Outcome:
        """Run one command line."""
        self.capture.readouterr()
        code = main(words)
        captured = self.capture.readouterr()
        return Outcome(code, captured.out, captured.err)

    def file(self, text: str, name: str = "jobs.yaml") -> str:
        """A job file in the working directory; its name."""
        (self.home / name).write_text(textwrap.dedent(text))
        return name

    def by_hand(self, work: Callable[[HandWatcher], Awaitable[T]]) -> T:
        """Let a watcher by hand do something."""

        async def run() -> T:
            async with hand_watcher(self.url, self.prefix) as watcher:
                return await work(watcher)

        return asyncio.run(run())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and nothing of the machine's environment."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in ("NO_COLOR", "XDG_STATE_HOME", "COLUMNS", "JOBS_DURABILITY", "JOBS_TASK_MODULES", RUN_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("JOBS_STATE_DIR", str(tmp_path / "state"))
    # An empty value is no debugging, and a test that sets it leaves nothing behind.
    monkeypatch.setenv(DEBUG_VARIABLE, "")
    return place


@pytest.fixture
def runner(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    valkey_url: str,
    prefix: str,
) -> JobRunner:
    """The program on a real server, with a prefix of its own."""
    monkeypatch.setenv("REDIS_URL", valkey_url)
    monkeypatch.setenv("JOBS_PREFIX", prefix)
    return JobRunner(valkey_url, prefix, home, capsys)


THREE_JOBS = """\
    jobs:
      - output_name: story/one
        voice: newsroom
        text: "One."
      - output_name: story/two
        voice: newsroom
        text: "Two."
      - request_id: nap
        task: sleep
        payload: {seconds: 3}
    """


@pytest.fixture
def three(runner: JobRunner) -> str:
    """A file of three jobs: two spoken, one slept."""
    return runner.file(THREE_JOBS)
