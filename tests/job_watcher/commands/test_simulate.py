"""`job-watcher simulate` as people type it: what it prints, its picture, its exit codes, its errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from job_watcher.cli import main
from tests.job_watcher.test_cli import run as run_on

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand

EXAMPLE = str(Path(__file__).parents[3] / "examples" / "simulation.yaml")


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """A file of three jobs, of which one has a deadline that only the cloud can meet."""
    document = {
        "title": "three",
        "watchers": [{"name": "desk", "slots": {"metal": 1, "cloud": 2}}],
        "jobs": [
            {"id": "plain", "count": 2, "seconds": {"metal": 100, "cloud": 10}},
            {"id": "hurried", "seconds": {"metal": 100, "cloud": 10}, "usd": {"cloud": 0.5}, "deadline": 60},
        ],
    }
    path = tmp_path / "three.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_a_person_reads_what_came_of_it(quick: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures on stdout; all was in time, so the exit code is 0."""
    assert main(["simulate", quick]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == [
        "policy      local-first, seed 0",
        "jobs        3: 3 done, 0 failed, 0 left waiting",
    ]
    assert "deadlines   1 of 1 met" in out
    assert err == ""


def test_another_policy_and_what_it_misses(quick: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A missed deadline is exit code 1."""
    assert main(["simulate", quick, "--policy", "cheapest"]) == 1
    assert "cost        $0.0000" in capsys.readouterr().out
    assert main(["simulate", quick, "--policy", "deadline", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 1
    assert told["cost_usd"] == 0.5
    assert [each["request_id"] for each in told["decisions"] if each["backend"] == "cloud"] == ["hurried"]


def test_a_picture_is_drawn_beside_it(quick: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And it is said where."""
    picture = tmp_path / "three.svg"
    assert main(["simulate", quick, "--picture", str(picture)]) == 0
    assert picture.read_text().startswith("<svg")
    assert f"drew {picture}" in capsys.readouterr().err
    assert main(["simulate", quick, "--picture", str(tmp_path / "no" / "where.svg")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_every_decision_is_told_if_it_is_wanted(quick: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the moment at which it was made."""
    main(["simulate", quick, "--verbose"])
    out = capsys.readouterr().out
    assert "0.000  plain-1 -> metal" in out
    assert "0.000  Fed Cloud" in out


def test_the_seed_and_the_budget_change_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed prints the same; no money, no paid call."""
    told = []
    for words in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"], ["--budget", "0"]):
        main(["simulate", EXAMPLE, "--json", *words])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != told[2]
    assert json.loads(told[3])["cost_usd"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "simulate needs a FILE or --history"),
        ([EXAMPLE, "--history"], "not both"),
        ([EXAMPLE, "--policy", "luck"], "allowed: local-first, cheapest, deadline"),
        (["nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["/dev/zero"], "/dev/zero is neither a file nor a pipe"),
        ([EXAMPLE, "--budget", "-1"], "--budget"),
    ],
)
def test_bad_usage_is_told_with_its_mend(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one error, a hint."""
    assert main(["simulate", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_bar_is_shown_to_who_looks_and_nobody_else(quick: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr alone, and only at a terminal; it leaves nothing of itself in what is printed."""
    ours, theirs = os.openpty()
    words = [sys.executable, "-c", "import sys; from job_watcher.cli import main; sys.exit(main())", "simulate", quick]
    with os.fdopen(theirs, "wb") as screen:
        shown = subprocess.run(words, stdout=subprocess.PIPE, stderr=screen, check=True)
    bar = os.read(ours, 65536).decode()
    os.close(ours)
    assert "attempts" in bar
    assert shown.stdout.decode().startswith("policy      local-first")
    assert main(["simulate", quick]) == 0
    assert capsys.readouterr() == (shown.stdout.decode(), "")


def test_mistakes_of_a_file_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each on its line, all of them."""
    path = tmp_path / "bad.yaml"
    path.write_text("jobs:\n  - id: a\n    seconds: {moon: 1}\nwatchers: []\n")
    assert main(["simulate", str(path)]) == 2
    err = capsys.readouterr().err
    assert "jobs[0].seconds.moon" in err
    assert "watchers" in err
    assert "nothing was simulated" in err


def test_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks can copy a line."""
    assert main(["simulate", "-h"]) == 0
    out = capsys.readouterr().out
    assert "job-watcher simulate --history --budget 1" in out
    assert "Exit codes:" in out


async def test_what_was_done_yesterday_can_be_done_again(stand: Stand) -> None:
    """The jobs of the queue's history, on the slots of these settings; without any it says so."""
    code, _, err = await run_on(stand, "simulate", "--history")
    assert code == 4
    assert "no finished job is remembered" in err
    await stand.debug("a", "b")
    watcher = await stand.watcher().start("drain")
    await watcher.ended()
    code, out, err = await run_on(stand, "simulate", "--history", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert {each["request_id"] for each in told["decisions"]} == {"a", "b"}
    assert told["title"] == "the last 2 jobs"
