"""`./run` starts this checkout's programs from anywhere, with this checkout's state."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a folder with a blank in its name; its program says how it was called."""
    place = tmp_path / "a checkout"
    programs = place / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(HOUSE / "run", place / "run")
    for name in ("job-runner", "python"):
        program = programs / name
        program.write_text('#!/bin/sh\nprintf "%s|" "$JOBS_STATE_DIR" "$PWD" "$@"\nexit 7\n')
        program.chmod(0o755)
    return place


def call(script: Path, *arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a bare environment."""
    return subprocess.run(
        [script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


def test_arguments_directory_and_exit_code_pass_through(checkout: Path, tmp_path: Path) -> None:
    """The program sees the caller's directory and exact arguments; the caller sees its exit code."""
    done = call(checkout / "run", "job-runner", "a b", "", "*", cwd=tmp_path)
    assert done.stdout == f"{checkout}/.state|{tmp_path}|a b||*|"
    assert done.returncode == 7


def test_works_through_a_link(checkout: Path, tmp_path: Path) -> None:
    """A link in some bin directory still finds the checkout."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "run").symlink_to(Path("..") / "a checkout" / "run")
    assert call(tmp_path / "bin" / "run", "job-runner", cwd=tmp_path).stdout.startswith(f"{checkout}/.state|")


def test_a_state_directory_of_the_environment_is_kept(checkout: Path, tmp_path: Path) -> None:
    """JOBS_STATE_DIR is a default only."""
    done = call(checkout / "run", "job-runner", cwd=tmp_path, JOBS_STATE_DIR="/mine")
    assert done.stdout.startswith("/mine|")


@pytest.mark.parametrize("line", ["JOBS_STATE_DIR=/mine", "export JOBS_STATE_DIR=/mine"])
def test_a_state_directory_of_dotenv_is_left_to_the_program(checkout: Path, tmp_path: Path, line: str) -> None:
    """The environment would win over .env, so the script stays out of the way where .env says it."""
    (tmp_path / ".env").write_text(f"{line}\n")
    assert call(checkout / "run", "job-runner", cwd=tmp_path).stdout.startswith(f"|{tmp_path}|")


def test_a_commented_line_of_dotenv_says_nothing(checkout: Path, tmp_path: Path) -> None:
    """A copy of .env.example changes nothing."""
    (tmp_path / ".env").write_text("#JOBS_STATE_DIR=/mine\n")
    assert call(checkout / "run", "job-runner", cwd=tmp_path).stdout.startswith(f"{checkout}/.state|")


def test_the_program_learns_how_it_was_called(checkout: Path, tmp_path: Path) -> None:
    """What it says to type is then what this person can type: the script's name, as it was typed."""
    (checkout / ".venv" / "bin" / "job-runner").write_text('#!/bin/sh\nprintf "%s" "$JOB_RUNNER_RUN"\n')
    assert call(Path("a checkout/run"), "job-runner", cwd=tmp_path).stdout == "a checkout/run"
    assert call(checkout / "run", "job-runner", cwd=tmp_path).stdout == f"{checkout}/run"


def test_says_how_to_set_up(checkout: Path, tmp_path: Path) -> None:
    """Without an environment it names the command that makes one."""
    shutil.rmtree(checkout / ".venv")
    done = call(checkout / "run", "job-runner", cwd=tmp_path)
    assert done.returncode == 2
    assert f"make -C '{checkout}' install" in done.stderr


def test_an_unknown_program_is_named(checkout: Path, tmp_path: Path) -> None:
    """A slip of the fingers is not an invitation to set up again."""
    done = call(checkout / "run", "job-runer", cwd=tmp_path)
    assert done.returncode == 2
    assert "no program 'job-runer'" in done.stderr


def test_without_arguments_it_says_what_it_takes(checkout: Path, tmp_path: Path) -> None:
    """Usage on stderr, exit 2."""
    done = call(checkout / "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_the_usage(checkout: Path, tmp_path: Path, flag: str) -> None:
    """Asked for, it is data: stdout, exit 0; a program's own --help is left to it."""
    done = call(checkout / "run", flag, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"usage: {checkout}/run job-runner|job-watcher|voice-synth [ARGUMENT]...\n"
    assert call(checkout / "run", "job-runner", flag, cwd=tmp_path).stdout.endswith(f"|{flag}|")
