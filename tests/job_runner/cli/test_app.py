"""The program as a whole: lazy commands, help, exit codes, the one error boundary."""

from __future__ import annotations

import errno
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from job_runner.cli import app as app_module
from job_runner.cli.app import COMMANDS, main
from lib.calling import RUN_VARIABLE
from lib.command_line.boundary import DEBUG_VARIABLE
from tests.job_runner.conftest import PROGRAM

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner


def _loaded(name: str) -> Any:
    group = typer.main.get_command(app_module.app)
    return group.get_command(None, name)  # type: ignore[attr-defined]  # it is the lazy group


@pytest.mark.parametrize("name", COMMANDS)
def test_the_static_help_is_the_commands_own(name: str) -> None:
    """What --help lists without importing is what the command says about itself."""
    command = _loaded(name)
    assert command.help.partition("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples(runner: JobRunner, name: str) -> None:
    """Help ends with lines that can be typed as they stand."""
    shown = runner(name, "--help")
    assert shown.code == 0
    assert f"  job-runner {name}" in shown.out.partition("Examples:")[2]


OFFLINE = {"plan", "compile", "execute-manifest", "run", "logs"}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"cache", "server", "watch", "workflow"}])
def test_shared_options_stand_after_every_command(runner: JobRunner, name: str) -> None:
    """The same flags mean the same everywhere; what works without a queue needs no Redis."""
    words = [word for line in runner(name, "--help").out.splitlines() for word in line.split()]
    wanted = {"--json", "--quiet", "--no-color"} | ({"--redis-url"} if name not in OFFLINE else set())
    assert wanted <= {word.rstrip(",") for word in words}


def test_help_lists_every_command(runner: JobRunner) -> None:
    """Names, one-line helps, exit codes."""
    shown = runner("--help")
    assert shown.code == 0
    for name in COMMANDS:
        assert f"\n  {name}" in shown.out
    assert "130 interrupted" in shown.out


def test_help_imports_nothing_heavy() -> None:
    """The top-level help and an unknown option of it load neither models nor a Redis client."""
    code = (
        "import sys\n"
        "from job_runner.cli.app import main\n"
        "main(['--help'])\n"
        "heavy = {'redis', 'yaml', 'rich', 'pydantic', 'lib.redisqueue', 'lib.jobqueue', 'numpy', 'hibari'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["status", "--quiet"], ["history", "--quiet"], ["result", "a", "--quiet"]])
def test_what_only_looks_does_not_import_the_models(runner: JobRunner, words: list[str]) -> None:
    """These must start fast, so they leave out what only jobs need, and what the library would read texts with."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    code = (
        "import sys\n"
        "from job_runner.cli.app import main\n"
        f"main({words!r})\n"
        "heavy = {'yaml', 'rich', 'pydantic', 'lib.jobqueue', 'lib.tasks', 'rfc8785'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert runner.prefix


def test_no_command_shows_the_help(runner: JobRunner) -> None:
    """Bad usage, but a helpful one."""
    shown = runner()
    assert shown.code == 2
    assert "Commands:" in shown.out + shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("enqueu",), "Did you mean 'enqueue'?"),
        (("status", "--jsn"), "No such option"),
        (("enqueue",), "Missing argument"),
        (("result",), "Missing argument"),
    ],
)
def test_bad_usage(runner: JobRunner, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, on stderr, with the mend."""
    shown = runner(*words)
    assert (shown.code, shown.out) == (2, "")
    assert said in shown.err


def test_hints_can_be_typed_by_whoever_started_it_through_run(
    runner: JobRunner, three: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages, errors, usage and examples name the script; data does not change."""
    monkeypatch.setenv(RUN_VARIABLE, "./run")
    queued = runner("enqueue", three)
    assert "next: run `./run job-watcher` to work on them, `./run job-runner watch` to follow\n" in queued.err
    refused = runner("status", "--redis-url", "redis://127.0.0.1:1/0")
    assert "hint: start one with `./run job-runner server start`, or set REDIS_URL\n" in refused.err
    for words in (("enqueue",), ("server",), ("server", "start")):
        assert f"  ./run job-runner {words[0]}" in runner(*words, "--help").out.partition("Examples:")[2]
    assert "\n    ./run job-watcher  " in runner("--help").out
    for name in ("", *COMMANDS):
        assert [line for line in runner(*name.split(), "--help").out.splitlines() if len(line) > 80] == []
    assert "Usage: ./run job-runner enqueue" in runner("enqueue").err
    assert "; mend: start one with `./run job-watcher`\n" in runner("doctor").out


def test_a_bad_url_names_where_it_was_typed(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, or the variable; exit code 2, what is allowed, and never the URL, which may hold a password."""
    for url in ("http://:secret@foo", ""):
        shown = runner("status", "--redis-url", url)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err.startswith("error: --redis-url: what is given is no URL of a server; allowed: redis://")
        assert "hint: write it so, or leave the option out" in shown.err
        assert "secret" not in shown.err
    monkeypatch.setenv("REDIS_URL", "http://foo")
    assert runner("status").err.startswith("error: REDIS_URL is ")


def test_a_database_that_there_is_not(runner: JobRunner) -> None:
    """The number in the URL is a mistake of whoever typed it: exit code 2, with the mend."""
    shown = runner("status", "--redis-url", f"{runner.url.removesuffix('/0')}/9999")
    assert (shown.code, shown.out) == (2, "")
    assert "has no database of that number: DB index is out of range" in shown.err
    assert "hint: end the URL in a smaller one, as redis://HOST:PORT/0" in shown.err


def test_the_version(runner: JobRunner) -> None:
    """Name and number."""
    shown = runner("--version")
    assert shown.code == 0
    assert shown.out.startswith("job-runner 0.")


def test_a_bad_setting_is_named(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command says which variable is wrong; exit code 2."""
    monkeypatch.setenv("JOBS_DURABILITY", "eternal")
    shown = runner("status")
    assert (shown.code, shown.out) == (2, "")
    assert "JOBS_DURABILITY is 'eternal'; allowed: memory, fsynced or replicated:N" in shown.err


def test_debug_shows_the_traceback(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """--debug, or the variable, lets an error through as it is."""
    from lib.errors import InvalidInputError  # noqa: PLC0415 - the error of this test

    with pytest.raises(InvalidInputError):
        runner("--debug", "enqueue", "nowhere.yaml")
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(InvalidInputError):
        runner("enqueue", "nowhere.yaml")


def test_an_unforeseen_error_is_a_message(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback, exit code 1, and how to get one."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("quite so")

    monkeypatch.setattr("lib.settings.Settings.load", broken)
    shown = runner("status")
    assert shown.code == 1
    assert shown.err == (
        "error: this should not happen: ZeroDivisionError: quite so\n"
        "hint: run it again with `job-runner --debug …` and report what it prints\n"
    )


def test_ctrl_c_is_130(runner: JobRunner) -> None:
    """An interrupted command says so in one word."""
    process = subprocess.Popen(
        [*PROGRAM, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert "0 queued" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert runner.prefix


def test_a_reader_that_goes_away(runner: JobRunner) -> None:
    """`… | head -1` ends quietly with the command's own exit code."""
    names = "".join(f"- {{request_id: 'r{i}', task: debug}}\n" for i in range(5000))
    jobs = runner.file(names)
    reader, writer = os.pipe()
    process = subprocess.Popen([*PROGRAM, "plan", jobs], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    os.close(reader)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == "next: `job-runner enqueue jobs.yaml` queues them\n"


def test_ascii_terminals_get_sound_json(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale without UTF-8 changes escapes, never the document."""
    jobs = runner.file("- {request_id: 'é☃', task: debug}\n")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run([*PROGRAM, "plan", jobs, "--json"], capture_output=True, text=True, check=True)
    assert '"\\u00e9\\u2603"' in done.stdout


def _answered(words: list[str], answer: bytes) -> tuple[int, str]:
    """Run the program on a terminal of its own, answering its first question."""
    child, fd = pty.fork()
    if child == 0:
        os.execv(PROGRAM[0], [*PROGRAM, *words])  # noqa: S606 - the program under test
    seen = b""
    while True:
        try:
            chunk = os.read(fd, 4096)
        except OSError as exc:
            assert exc.errno == errno.EIO  # noqa: PT017 - how Linux says that the far end has closed
            break
        if not chunk:
            break
        seen += chunk
        if answer and b"[y/N]" in seen:
            os.write(fd, answer)
            answer = b""
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_terminal_is_asked(runner: JobRunner, three: str) -> None:
    """No is the default and changes nothing; yes does it; colour is for terminals."""
    runner("enqueue", three)
    code, said = _answered(["flush"], b"\n")
    assert code == 1
    assert "not done, as you wished" in said
    assert runner("status", "--json").document["totals"]["queued"] == 3
    code, said = _answered(["flush"], b"y\n")
    assert code == 0
    assert "removed 3 jobs and 0 records" in said
    assert runner("status", "--json").document["totals"]["queued"] == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_colour_only_where_it_is_wanted(runner: JobRunner, three: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colour unless NO_COLOR or --no-color; a pipe never does."""
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b" not in runner("enqueue", three).out
    assert "\x1b[" in _answered(["enqueue", three], b"")[1]
    assert "\x1b[" not in _answered(["enqueue", three, "--no-color"], b"")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in _answered(["enqueue", three], b"")[1]


def test_shell_completion(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell is offered commands and options."""
    monkeypatch.setenv("_JOB_RUNNER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "job-runner re")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        main([])
    assert set(runner.capture.readouterr().out.split()) == {"report", "result", "retry"}
