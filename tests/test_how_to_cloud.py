"""How to turn the cloud on, followed from top to bottom with an API on this machine; its words are the code's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from job_watcher.herald import FED, SENTENCES
from lib.capabilities.breaker import _FAILURES, _FIRST_SECONDS, _LONGEST_SECONDS
from lib.setting_fields.compute import POLICIES
from lib.settings import variable_name, variables
from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import fences, follow
from tests.support.fake_gemini import FakeGemini

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = HOUSE / "docs/how-to/cloud.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
NOT_RUN: Final = {
    ".venv/bin/pip install --constraint constraints.txt --editable '.[gemini]'": "it is installed for the tests",
    "job-watcher conduct --backlog backlog:gap_fill --rate-limit 2.0": "it ends when it is told to",
    "job-runner why stories:line-001": "a job that is not there",
    "./run job-runner doctor": "tried in tests/job_runner; it loads every engine",
}


def _column(heading: str, number: int = 1) -> list[str]:
    """The cells of this column of the table below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [row[number - 1].strip("| ") for row in rows[1:]]


@pytest.mark.timeout(120)  # seven commands, on a machine that does other things too
async def test_page_works_as_written(tmp_path: Path) -> None:
    """Three questions are asked of the API and nowhere else, once each; every command ends with 0."""
    with FakeGemini() as gemini:
        async with fresh_checkout(tmp_path / "checkout") as checkout:
            checkout.environ["GEMINI_BASE_URL"] = gemini.url
            done = await follow(PAGE, checkout, not_run=NOT_RUN, answers={})
        asked = [call.prompt for call in gemini.calls if "generate" in call.method.lower()]
    assert len(asked) == len(set(asked)) == 3
    said = {each.line: each.text for each in done}
    assert "3 done; all sound" in said["./run job-runner verify manifests/gap_fill_try.jsonl"]
    assert "of $3.00" in said["./run job-runner status"]


def test_what_is_left_out_is_still_shown() -> None:
    """No reason outlives its command."""
    assert set(NOT_RUN) <= {line for fence in fences(PAGE) for line in fence.commands if fence.language == "sh"}


def test_every_sentence_of_the_conductor_is_explained() -> None:
    """Word for word, as it is said."""
    lines = " ".join(_column("What the log says, and what to do"))
    for sentence in (*FED.values(), *(sentence for _, sentence in SENTENCES)):
        assert f"`{sentence}`" in lines, sentence


def test_every_policy_and_every_setting_of_the_cloud_is_explained() -> None:
    """None of them has only its name."""
    assert [cell.strip("`") for cell in _column("Who is sent where")] == list(POLICIES)
    named = set(re.findall(r"`([A-Z_]+)`", " ".join(_column("What each setting means"))))
    known = {variable_name(each) for each in variables()}
    assert named <= known
    wanted = {name for name in known if re.match(r"CLOUD_|GEMINI_[RT]P|GEMINI_HIGH|BUDGET_|PRICES_|CONDUCTOR_", name)}
    assert wanted <= named


def test_the_figures_of_the_breaker_are_those_of_the_code() -> None:
    """Failures in a row, the first pause and the longest one."""
    assert (_FAILURES, _FIRST_SECONDS, _LONGEST_SECONDS) == (5, 10.0, 300.0)
    assert "After five failures in a row" in TEXT
    assert re.search(r"alone for 10 s, then one\s+call", TEXT)
    assert "up to five minutes" in TEXT
