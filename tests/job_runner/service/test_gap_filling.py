"""What was typed becomes a plan: files read as people save them, a corpus opened with no more than was asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from job_runner.service.gap_filling import Wanted, checked, exported, plan_gaps, schema_of, text_of
from job_runner.workflows.gap_fill import GapFill
from lib.corpus.answers import Answer, Asker
from lib.errors import InvalidInputError, RefusedError
from lib.settings import Settings
from tests.lib.corpus.corpora import KINDS, Kind, make
from tests.support.scripted_model import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

ME = Asker("job", "2026-01-01T00:00:00Z")
PLAN = GapFill(corpus="words.jsonl", version="v1", prompt="{text}", answer_schema=SCHEMA, batch=4)


def test_a_file_of_text_as_editors_save_it(tmp_path: Path) -> None:
    """A byte order mark and the last line break are no part of it; the breaks within are."""
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"\xef\xbb\xbfOne {text}\r\n\nTwo\n\n")
    assert text_of(path, "--prompt") == "One {text}\r\n\nTwo"


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    """Somebody named the corpus instead."""
    path = tmp_path / "prompt.txt"
    with path.open("wb") as file:
        file.write(b"x")
        file.truncate(1 << 30)
    with pytest.raises(InvalidInputError, match="larger than"):
        text_of(path, "--prompt")
    with pytest.raises(InvalidInputError, match=r"--system .* cannot be read: Is a directory"):
        text_of(tmp_path, "--system")


def test_a_schema_that_is_too_deep_for_a_parser(tmp_path: Path) -> None:
    """It is said, and nothing crashes."""
    path = tmp_path / "schema.json"
    path.write_text("[" * 200_000)
    with pytest.raises(InvalidInputError, match="is no JSON"):
        schema_of(path)
    path.write_text(json.dumps(SCHEMA))
    assert schema_of(path) == SCHEMA


def test_all_flags_that_are_wrong_are_named_at_once() -> None:
    """Somebody mends a command line faster when told once."""
    with pytest.raises(InvalidInputError) as caught:
        checked(GapFill(corpus="c", version="?", prompt="no field", answer_schema={"type": 1}, max_output_tokens=0))
    for flag in ("--version", "--prompt", "--schema"):
        assert flag in str(caught.value)
    assert checked(PLAN) is PLAN


@pytest.mark.parametrize("kind", KINDS)
def test_plan_annotate_plan_export(kind: Kind, tmp_path: Path) -> None:
    """On a corpus of each kind; nothing is written when there is nothing to do, nor over another plan."""
    made, out = make(kind, tmp_path / "corpora"), tmp_path / "manifest.jsonl"
    corpus = made.opened()
    planned = plan_gaps(corpus, PLAN, out, force=False)
    assert planned.manifest is not None
    assert (planned.found.planned, planned.manifest.entries) == (6, 2)
    names = [f"r{number}" for number in range(6)]
    for name in names[:5]:
        corpus.annotations.keep(Answer(name, "q", {"words": 1}), "v1", ME)
    corpus.annotations.publish(dict.fromkeys(names[:5], "q"), {}, "v1", ME, "now")
    with pytest.raises(RefusedError):
        plan_gaps(corpus, PLAN, out, force=False)
    assert plan_gaps(corpus, PLAN, out, force=True).found.planned == 1
    corpus.annotations.keep(Answer("r5", "q", {"words": 1}), "v1", ME)
    corpus.annotations.publish({"r5": "q"}, {}, "v1", ME, "now")
    before = out.read_bytes()
    nothing = plan_gaps(corpus, PLAN, out, force=True)
    assert (nothing.manifest, nothing.document()["manifest"], out.read_bytes()) == (None, None, before)
    assert [json.loads(line)["id"] for line in exported(corpus, "v1")] == names
    corpus.close()


def test_a_corpus_is_named_as_jobs_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a database that watchers would not reach is known before its jobs are sent."""
    monkeypatch.chdir(tmp_path)
    settings = Settings.load({"HOME": str(tmp_path), "DATABASE_URL": "postgresql://ann:wrong-horse-8@h/x"})
    assert Wanted(corpus=str(tmp_path / "a.jsonl"), table="", id_field="").location(settings) == "a.jsonl"
    for url, known in (("postgresql://ann@h/x", True), ("postgresql://bob@h/x", False)):
        wanted = Wanted(corpus=url, table="t", id_field="")
        assert wanted.is_known(settings) is known
        assert "wrong-horse" not in wanted.location(settings)
