"""What `doctor` says of models, prices, the budget and the database."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from job_runner.service.doctor.compute import compute_checks
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.support.fake_gemini import FakeGemini
from tests.support.running import settings_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job_runner.service.doctor.checks import Check
    from tests.support.servers import RealServer

KEY = "AIza-a-canary-of-a-key-0123"
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    """The API, with one valid key and two models."""
    with FakeGemini(keys=[KEY], models=["gemini-2.5-flash", "gemini-3.8-flash-lite-tts"]) as fake:
        yield fake


async def told(tmp_path: Path, **values: str) -> list[Check]:
    """The lines of these settings; without a server unless one is named."""
    checks = await compute_checks(settings_in(tmp_path, **{"REDIS_URL": NOWHERE, **values}))
    assert not any(KEY in f"{check.found}{check.mend}" for check in checks)
    return checks


async def test_nothing_is_said_of_what_is_not_set_up(tmp_path: Path) -> None:
    """No model, no key, no budget, no database: no line."""
    assert await told(tmp_path) == []


async def test_a_key_that_is_valid(tmp_path: Path, gemini: FakeGemini) -> None:
    """Both models are there; the key is not shown; no quota is touched; a cap is advised."""
    checks = await told(tmp_path, GEMINI_API_KEY=KEY, GEMINI_BASE_URL=gemini.url)
    assert [(check.name, check.state) for check in checks] == [
        ("gemini", "ok"),
        ("gemini", "ok"),
        ("prices", "ok"),
        ("budget", "note"),
    ]
    assert [check.found for check in checks[:2]] == [
        "gemini-2.5-flash is there",
        "gemini-3.8-flash-lite-tts is there",
    ]
    assert checks[3].mend == "set BUDGET_PER_DAY_USD"
    assert not gemini.calls


@pytest.mark.parametrize(
    "values",
    [{"GEMINI_API_KEY": "AIza-another-key-0123"}, {"GEMINI_API_KEY": KEY, "GEMINI_MODEL": "gemini-2.5-pro"}],
)
async def test_a_key_or_a_model_that_is_none(tmp_path: Path, gemini: FakeGemini, values: dict[str, str]) -> None:
    """One line with the mend; speech can be left out."""
    checks = await told(tmp_path, GEMINI_BASE_URL=gemini.url, GEMINI_SPEECH_MODEL="none", **values)
    first, second = checks[:2]
    assert (first.name, first.state, second.name) == ("gemini", "wrong", "prices")
    assert "GEMINI_API_KEY" in first.mend
    assert "GEMINI_MODEL" in first.mend
    assert values["GEMINI_API_KEY"] not in first.found + first.mend


async def test_ollama_that_does_not_answer(tmp_path: Path) -> None:
    """The host, and what to start."""
    (check,) = await told(tmp_path, OLLAMA_MODEL="llama3.2", OLLAMA_HOST="http://127.0.0.1:1")
    assert (check.name, check.state) == ("ollama", "wrong")
    assert "127.0.0.1:1" in check.found
    assert "`ollama pull llama3.2`" in check.mend


async def test_prices(tmp_path: Path, gemini: FakeGemini) -> None:
    """A file that is none is a mistake, a model without a price is told, one's own prices count."""
    asked = {"GEMINI_API_KEY": KEY, "GEMINI_BASE_URL": gemini.url, "GEMINI_SPEECH_MODEL": "none"}
    own = tmp_path / "prices.yaml"
    own.write_text("models: {gemini-of-mine: {input: 1, output: 2}}\n")
    unknown = await told(tmp_path, **asked, GEMINI_MODEL="gemini-of-yours")
    assert (unknown[1].state, unknown[1].found) == (
        "note",
        "none is known for gemini-of-yours: counted as the dearest",
    )
    known = await told(tmp_path, **asked, GEMINI_MODEL="gemini-of-mine", PRICES_FILE=str(own))
    assert known[1].state == "ok"
    assert known[1].found.endswith(f"1 of them from {own}")
    own.write_text("models: {gemini-2.5-flahs: {input: 1, output: 2}}\n")
    (slip,) = await told(tmp_path, PRICES_FILE=str(own))
    assert (slip.state, slip.found) == (
        "note",
        "no model is known as gemini-2.5-flahs (did you mean gemini-2.5-flash?)",
    )
    own.write_text("models: 7\n")
    (broken,) = await told(tmp_path, PRICES_FILE=str(own))
    assert (broken.name, broken.state) == ("prices", "wrong")


@pytest.mark.parametrize(
    ("settled", "state", "said"), [(420_000, "ok", "$0.4200"), (910_000, "note", "reached: $0.91")]
)
async def test_the_budget(valkey: RealServer, prefix: str, tmp_path: Path, settled: int, state: str, said: str) -> None:
    """What the day has used of it, settled and reserved together; without a server the cap alone."""
    queue = Queue.over(connect(valkey.url), valkey.url, prefix)
    seconds, _ = await queue.client.time()
    await queue.client.hset(queue.keys.of("spend"), mapping={f"{seconds // 86_400}": settled})
    await queue.client.hset(queue.keys.of("spend_open"), "sum", "90000")
    (check,) = await told(tmp_path, BUDGET_PER_DAY_USD="1", REDIS_URL=valkey.url, JOBS_PREFIX=prefix)
    assert (check.name, check.state) == ("budget", state)
    assert check.found.startswith(said)
    assert "$0.0900 more reserved" in check.found
    await queue.client.aclose()
    (alone,) = await told(tmp_path, BUDGET_PER_DAY_USD="1")
    assert (alone.state, alone.found) == ("ok", "$1.00 a UTC day")


async def test_a_database(tmp_path: Path) -> None:
    """One that opens, one whose folder is not there; a password is never shown."""
    (good,) = await told(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/mine.sqlite3")
    assert (good.name, good.state) == ("database", "ok")
    assert "sqlite" in good.found
    assert not (tmp_path / "mine.sqlite3").exists()
    (tmp_path / "taken").write_text("a file")
    (bad,) = await told(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/taken/mine.sqlite3")
    assert (bad.name, bad.state) == ("database", "wrong")
    (away,) = await told(tmp_path, DATABASE_URL="postgresql+pg8000://me:opensesame@127.0.0.1:1/jobs")
    assert (away.name, away.state) == ("database", "wrong")
    assert "opensesame" not in away.found + away.mend


async def test_a_look_changes_no_database(tmp_path: Path) -> None:
    """Neither a folder nor a table is made, and no byte of the file is another; a file that is none is told."""
    (unmade,) = await told(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/deep/er/mine.sqlite3")
    assert unmade.found.endswith("opens (sqlite); its table is made by the first job that needs it")
    assert not (tmp_path / "deep").exists()
    file = tmp_path / "there.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("create table mine (a)")
    before = file.read_bytes()
    (seen,) = await told(tmp_path, DATABASE_URL=f"sqlite:///{file}")
    assert (seen.state, seen.found) == ("ok", f"the database {file} {unmade.found.partition('sqlite3 ')[2]}")
    assert file.read_bytes() == before
    (tmp_path / "notes").write_text("these are notes, and of some length too\n" * 50)
    (none,) = await told(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/notes")
    assert (none.state, "not a database" in none.found) == ("wrong", True)
