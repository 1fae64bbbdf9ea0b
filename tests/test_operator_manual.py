"""The pages for operators can be typed as they stand: programs, flags, settings, files and links exist."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from lib.settings import Settings, variable_name, variables

ROOT: Final = Path(__file__).parents[1]
HOW_TO: Final = ROOT / "docs" / "how-to"
PAGES: Final = ("run-on-a-vps.md", "monitoring.md")
SETTINGS: Final = {variable_name(each) for each in variables()}
OF_OTHERS: Final = {"REDISCLI_AUTH"}
MODULES: Final = {"job-watcher": "job_watcher.cli", "job-runner": "job_runner.cli.app"}


@cache
def help_of(program: str, *words: str) -> str:
    """What `--help` says; fails when there is no such command."""
    code = f"import sys; from {MODULES[program]} import main; sys.exit(main())"
    shown = subprocess.run(
        [sys.executable, "-c", code, *words, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert shown.returncode == 0, f"{program} {' '.join(words)}: {shown.stderr}"
    return shown.stdout


def read(page: str) -> str:
    """A page."""
    return (HOW_TO / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language; empty for those without."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return [text for named, text in found if named == language]


def calls(page: str) -> list[list[str]]:
    """Every call of a program of ours as words: at the start of a line or in a container, and in sentences."""
    sentences = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    typed = "\n".join([*blocks(page, "sh"), *re.findall(r"`([^`\n]+)`", sentences)])
    begins = r"(?:^|\.venv/bin/|(?:exec|exec --no-TTY) watcher )"
    found = re.findall(rf"{begins}((?:job-runner|job-watcher)(?: +[\w./:=@-]+)*)", typed, re.MULTILINE)
    return [each.split() for each in found]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_flag_exists(page: str) -> None:
    """As `--help` has them; in blocks and in the middle of sentences."""
    found = [call for call in calls(page) if len(call) > 1]
    assert len(found) >= 5
    for program, *words in found:
        command = [] if words[0].startswith("--") else words[:1]
        shown = help_of(program, *command)
        for flag in words[len(command) :]:
            if flag.startswith("--"):
                assert flag.partition("=")[0] in shown, f"{page}: {program} {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES)
def test_shell_blocks_are_shell(page: str) -> None:
    """Read without being run."""
    for block in blocks(page, "sh"):
        checked = subprocess.run(["sh", "-n"], input=block, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), block


@pytest.mark.parametrize("page", PAGES)
def test_every_variable_is_a_setting(page: str) -> None:
    """Assigned in a block or named in a sentence."""
    named = set(re.findall(r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=|`)", read(page)))
    assert named
    # `API_KEY` and the like are ends of names.
    ends = {name for name in named if f"`{name}`" in read(page) and "ends in" in read(page)} - SETTINGS
    assert named - ends <= SETTINGS | OF_OTHERS


def test_the_environment_file_of_the_page_is_accepted() -> None:
    """As it stands, but for the password."""
    (environment,) = [block for block in blocks("run-on-a-vps.md", "") if block.startswith("REDIS_URL=")]
    lines = dict(line.split("=", 1) for line in environment.splitlines())
    settings = Settings.load({**lines, "HOME": "/nowhere"})
    assert settings.jobs_durability == "fsynced"
    assert str(settings.jobs_state_dir) == lines["JOBS_STATE_DIR"]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_exist(page: str) -> None:
    """Beside the page, and those of this tree that blocks name."""
    for target in re.findall(r"\]\(([^)#]+)", read(page)):
        assert (HOW_TO / target).resolve().exists(), target
    for named in re.findall(r"\bdeploy/[\w@./-]+", "\n".join(blocks(page, "sh"))):
        assert (ROOT / named).exists(), named


def test_anchors_exist() -> None:
    """Links within the page lead to a heading."""
    headings = {
        each.lower().replace(" ", "-") for each in re.findall(r"^#+ (.*)$", read("run-on-a-vps.md"), re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", read("run-on-a-vps.md"))) <= headings


def test_the_units_say_where_the_page_puts_things() -> None:
    """One place for program, settings and state."""
    unit = (ROOT / "deploy" / "job-watcher.service").read_text()
    page = read("run-on-a-vps.md")
    for place in ("/opt/job-runner", "/etc/job-runner/environment", "/var/lib/job-runner"):
        assert place in unit
        assert place in page
