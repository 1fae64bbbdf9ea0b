"""The how-to pages that can be followed on one machine are followed, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import follow

PAGES = ("write-your-own-task", "work-offline", "when-something-fails", "voices-of-your-own")

NOT_RUN = {
    "./run voice-synth register anna --piper-model en_GB-anna.onnx": "a model of some megabytes that is not ours",
    './run voice-synth register anna --reference-audio anna.wav --reference-text "What she says in it."': (
        "a recording of somebody who exists"
    ),
}
"""Commands that cannot be typed here, and why."""

MADE = {(Path("docs/how-to/run-on-a-vps.md"), "deploy/watcher.env")}
"""Files that a page tells its reader to make."""


def test_every_page_is_in_the_index() -> None:
    """Whoever looks for how to do something finds it in one list."""
    index = (HOUSE / "docs/how-to/index.md").read_text(encoding="utf-8")
    pages = {path.name for path in (HOUSE / "docs/how-to").glob("*.md")} - {"index.md"}
    assert pages == set(re.findall(r"\]\(([a-z0-9-]+\.md)\)", index))


def test_every_file_that_a_document_names_is_there() -> None:
    """Modules and folders move; pages that still name the old place send people astray."""
    documents = [HOUSE / "README.md", *(HOUSE / "docs").rglob("*.md")]
    roots = "lib|job_runner|job_watcher|tests|docs|bench|deploy"
    named = {
        (document.relative_to(HOUSE), found)
        for document in documents
        for found in re.findall(rf"`((?:{roots})/[\w./-]+)`", document.read_text(encoding="utf-8"))
    }
    gone = [f"{document}: {path}" for document, path in sorted(named - MADE) if not (HOUSE / path).exists()]
    assert gone == []
    assert named


@pytest.mark.timeout(240)  # up to a dozen commands, on a machine that does other things too
@pytest.mark.parametrize("name", PAGES)
async def test_page_works_as_written(name: str, tmp_path: Path) -> None:
    """Every command of it, in a fresh checkout."""
    async with fresh_checkout(tmp_path / "checkout") as checkout:
        # As a reader has it who comes here from the tutorial.
        await checkout.type("./run job-runner server start")
        await follow(HOUSE / f"docs/how-to/{name}.md", checkout, not_run=NOT_RUN, answers={})
