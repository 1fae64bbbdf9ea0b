"""`workflow gap-fill`: a manifest of what a corpus lacks, again and again until nothing is left; and what it has."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine

from lib.corpus.places import CorpusPlaces
from lib.errors import BlockedError
from lib.jobqueue import normalize_job_spec
from lib.tasks.annotate import Annotate
from tests.lib.tasks.contexts import RecordingContext
from tests.support.scripted_model import SCHEMA, ScriptedModel, words
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner, Outcome
    from tests.support.postgres import Postgres

PLAN = ("workflow", "gap-fill", "plan", "--corpus", "corpus.jsonl", "--version", "v1")
FILES = ("--schema", "schema.json", "--prompt", "prompt.txt")


@pytest.fixture
def corpus(runner: JobRunner) -> Path:
    """Seven records in the working directory, with a schema and a prompt."""
    path = runner.home / "corpus.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{i}", "text": f"text {i}"}) + "\n" for i in range(7)))
    (runner.home / "schema.json").write_text(json.dumps(SCHEMA))
    (runner.home / "prompt.txt").write_text("Count: {text}\n")
    return path


def plan(runner: JobRunner, *more: str) -> Outcome:
    """Plan in batches of three."""
    return runner(*PLAN, *FILES, "--batch", "3", *more)


def entries(runner: JobRunner, name: str = "manifests/gap_fill_v1.jsonl") -> list[dict[str, Any]]:
    """The lines of a manifest."""
    return [json.loads(line) for line in (runner.home / name).read_text().splitlines()]


def work(runner: JobRunner, entry: dict[str, Any], poison: str = "") -> None:
    """Do one batch, as a watcher does it."""
    spec = normalize_job_spec({"request_id": entry["meta"]["id"], "task": entry["task"], "payload": entry["kwargs"]})
    model = ScriptedModel(lambda r: BlockedError("no") if poison and r.prompt.endswith(poison) else words(r))
    context = RecordingContext(runner.home, model=model)
    asyncio.run(Annotate(CorpusPlaces(runner.home, "")).run(spec, context))


def test_the_gaps_become_batches(runner: JobRunner, corpus: Path) -> None:
    """In the order of the corpus; a table of what was found, and what to type next."""
    shown = plan(runner)
    assert (shown.code, corpus.exists()) == (0, True)
    assert shown.out == (
        "RECORDS FOR v1     COUNT\n"
        "annotated already      0\n"
        "planned                7\n"
        "in all                 7\n"
        "\n"
        "manifests/gap_fill_v1.jsonl: 3 tasks of plan gap_fill-e8c75cc5\n"
    )
    assert "`job-runner dispatch manifests/gap_fill_v1.jsonl --target backlog:gap_fill`" in shown.err
    lines = entries(runner)
    assert [line["kwargs"]["records"] for line in lines] == [["r0", "r1", "r2"], ["r3", "r4", "r5"], ["r6"]]
    first = lines[0]
    assert (first["task"], first["meta"]["plan"], first["description"]) == (
        "annotate",
        "gap_fill-e8c75cc5",
        "3 of corpus.jsonl: r0 to r2",
    )
    assert {name: value for name, value in first["kwargs"].items() if name != "records"} == {
        "corpus": "corpus.jsonl",
        "version": "v1",
        "prompt": "Count: {text}",
        "answer_schema": SCHEMA,
        "max_output_tokens": 1024,
        "seed": 1,
    }


@pytest.mark.usefixtures("corpus")
def test_the_same_gaps_are_the_same_plan(runner: JobRunner) -> None:
    """To the byte; another seed, another question or another batch is another one."""
    plan(runner)
    before = (runner.home / "manifests/gap_fill_v1.jsonl").read_bytes()
    assert "the same plan was there already" in plan(runner).err
    assert (runner.home / "manifests/gap_fill_v1.jsonl").read_bytes() == before
    refused = plan(runner, "--seed", "2")
    assert (refused.code, "holds another plan" in refused.err) == (1, True)
    assert plan(runner, "--seed", "2", "--out", "two.jsonl").code == 0
    assert entries(runner, "two.jsonl")[0]["meta"]["plan"] != entries(runner)[0]["meta"]["plan"]


@pytest.mark.usefixtures("corpus")
def test_planning_again_plans_what_is_left(runner: JobRunner) -> None:
    """Until nothing is; what is planned twice has the same name, so that it is queued once."""
    plan(runner)
    first, second, third = entries(runner)
    work(runner, first)
    again = plan(runner, "--force", "--json").document
    assert (again["annotated"], again["planned"], again["entries"], again["written"]) == (3, 4, 2, True)
    assert entries(runner) == [second, third]
    work(runner, second)
    work(runner, third)
    done = plan(runner)
    assert (done.code, done.out.splitlines()[-1]) == (0, "nothing is left to plan; no manifest was written")
    document = plan(runner, "--json").document
    assert (document["annotated"], document["planned"], document["manifest"]) == (7, 0, None)
    assert plan(runner, "--version", "v2", "--out", "v2.jsonl", "--json").document["planned"] == 7


@pytest.mark.usefixtures("corpus")
def test_what_failed_before_is_left_out_until_it_is_asked_for(runner: JobRunner) -> None:
    """And then it has another name than the batch in which it failed."""
    plan(runner)
    for entry in entries(runner):
        work(runner, entry, poison="text 4")
    shown = plan(runner)
    assert "failed before, left out      1" in shown.out
    assert "1 record failed before; --retry-failed plans them again" in shown.err
    names = set()
    for turn in range(1, 3):
        assert plan(runner, "--retry-failed", "--force", "--json").document["planned"] == 1
        [entry] = entries(runner)
        assert (entry["kwargs"]["records"], entry["kwargs"]["again"]) == (["r4"], turn)
        names.add(entry["meta"]["id"])
        with pytest.raises(BlockedError):
            work(runner, entry, poison="text 4")
    assert len(names) == 2
    work(runner, entry)
    assert plan(runner, "--json").document["annotated"] == 7


def test_records_that_cannot_be_asked_are_left_out_and_named(runner: JobRunner, corpus: Path) -> None:
    """They lack what the prompt names."""
    with corpus.open("a") as file:
        file.write('{"id": "r7"}\n{"id": "r8", "text": null}\n')
    shown = plan(runner)
    assert "without a field of the prompt      1" in shown.out
    assert "warning: left out: r7: no field 'text', which the prompt names" in shown.err
    assert entries(runner)[-1]["kwargs"]["records"] == ["r6", "r8"]


@pytest.mark.usefixtures("corpus")
def test_a_prompt_that_fits_no_record_is_a_mistake(runner: JobRunner) -> None:
    """Not a plan with nothing left to do: the fields that there are stand beside it."""
    runner.file("About {body}: {text}", "other.txt")
    shown = plan(runner, "--prompt", "other.txt")
    assert shown.code == 2
    assert "--prompt other.txt: no record has what it names: {" in shown.err
    assert "a record has: id, text" in shown.err


@pytest.mark.usefixtures("corpus")
def test_a_field_that_no_record_has_is_a_mistake_though_all_are_annotated(runner: JobRunner) -> None:
    """Nothing is left to do, but not because the prompt is right: it did not end well once all was done."""
    assert plan(runner).code == 0
    for entry in entries(runner):
        work(runner, entry)
    assert plan(runner, "--force").code == 0
    (runner.home / "prompt.txt").write_text("Count {txet} of {id}\n")
    shown = plan(runner, "--force")
    assert shown.code == 2
    assert "--prompt prompt.txt: no record has what it names: {txet}\nhint: a record has: id, text\n" in shown.err
    assert "nothing is left to plan" not in shown.out


@pytest.mark.usefixtures("corpus")
def test_a_plan_is_named_by_its_version(runner: JobRunner) -> None:
    """Those of two versions stand side by side; a version that is none writes nothing."""
    assert plan(runner).code == 0
    words = [*PLAN, *FILES]
    words[words.index("v1")] = "2026-10.b"
    shown = runner(*words)
    assert shown.code == 0
    assert "manifests/gap_fill_2026-10.b.jsonl: 1 task " in shown.out
    assert (runner.home / "manifests/gap_fill_v1.jsonl").exists()
    words[words.index("2026-10.b")] = "../x"
    assert runner(*words).code == 2
    assert len(list((runner.home / "manifests").iterdir())) == 2


@pytest.mark.usefixtures("corpus")
def test_a_limit(runner: JobRunner) -> None:
    """To try it out on a few."""
    document = plan(runner, "--limit", "4", "--json").document
    assert (document["planned"], document["beyond_limit"], document["entries"]) == (4, 3, 2)


@pytest.mark.parametrize(
    ("words_", "said"),
    [
        (("--version", "v 1"), "--version: 'v 1' is no version"),
        (("--prompt", "schema.json"), "--prompt: names no field of a record"),
        (("--prompt", "none.txt"), "--prompt none.txt cannot be read: No such file"),
        (("--prompt", "empty.txt"), "--prompt empty.txt is empty"),
        (("--prompt", "odd.txt"), "--prompt odd.txt is not UTF-8"),
        (("--schema", "prompt.txt"), "--schema prompt.txt is no JSON"),
        (("--schema", "list.json"), "--schema list.json is no JSON object"),
        (("--schema", "wrong.json"), "--schema: is no sound JSON schema"),
        (("--corpus", "none.jsonl"), "no corpus none.jsonl is here"),
        (("--corpus", "../none.jsonl"), "does not lie below"),
        (("--corpus", "sqlite:///x.sqlite3"), "no table is named"),
        (("--corpus", "mysql://a@b/c", "--table", "x"), "is in no database that is known"),
        (("--table", "x"), "is a file, which has no table 'x'"),
        (("--seed", "-1"), "--seed: must be at least 0"),
    ],
)
@pytest.mark.usefixtures("corpus")
def test_a_mistake_is_named_by_its_flag(runner: JobRunner, words_: tuple[str, ...], said: str) -> None:
    """And nothing is written."""
    for name, content in (
        ("empty.txt", b"\n"),
        ("odd.txt", b"\xff"),
        ("list.json", b"[]"),
        ("wrong.json", b'{"type":1}'),
    ):
        (runner.home / name).write_bytes(content)
    shown = plan(runner, *words_)
    assert shown.code in {2, 4}
    assert said in shown.err
    assert not (runner.home / "manifests").exists()


def test_all_bad_lines_are_told(runner: JobRunner, corpus: Path) -> None:
    """With file and line, as those of a job file."""
    with corpus.open("a") as file:
        file.write('oops\n{"id": "r1"}\n')
    shown = plan(runner)
    assert shown.code == 2
    assert "corpus.jsonl:8: is no JSON" in shown.err
    assert "corpus.jsonl:9: has the id 'r1' of line 2" in shown.err
    assert "error: 2 problems\n" in shown.err


@pytest.mark.usefixtures("corpus")
def test_annotations_are_handed_out(runner: JobRunner) -> None:
    """A line of JSON each; of another version there are none."""
    plan(runner)
    work(runner, entries(runner)[0])
    words_ = ("workflow", "gap-fill", "export", "--corpus", "corpus.jsonl", "--version")
    rows = [json.loads(line) for line in runner(*words_, "v1").out.splitlines()]
    assert [(row["id"], row["version"], row["annotation"]) for row in rows] == [
        (f"r{i}", "v1", {"words": 3}) for i in range(3)
    ]
    assert set(rows[0]) == {"id", "version", "annotation", "model", "job", "annotated_at"}
    assert (runner(*words_, "v2").code, runner(*words_, "v2").out) == (0, "")


@pytest.mark.usefixtures("corpus")
def test_no_password_stands_in_a_manifest_or_a_message(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used, and goes no further; here the server is not even there."""
    url = "postgresql://ann:wrong-horse-8@127.0.0.1:1/x"
    shown = plan(runner, "--corpus", url, "--table", "t")
    assert shown.code == 3
    assert "wrong-horse" not in shown.out + shown.err
    monkeypatch.setenv("DATABASE_URL", url)
    assert plan(runner, "--corpus", "postgresql://ann@127.0.0.1:1/x", "--table", "t").code == 3


@pytest.mark.usefixtures("corpus")
def test_a_table_of_postgresql(runner: JobRunner, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned with the password that was typed; the manifest has none, and says so where watchers would lack it."""
    engine = create_engine(postgres.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS plain_texts (n INTEGER PRIMARY KEY, text TEXT)")
        connection.exec_driver_sql("INSERT INTO plain_texts VALUES (1, 'a'), (2, 'b') ON CONFLICT DO NOTHING")
    engine.dispose()
    shown = plan(runner, "--corpus", postgres.url, "--table", "plain_texts")
    assert (shown.code, "watchers reach this database only with DATABASE_URL" in shown.err) == (0, True)
    [entry] = entries(runner)
    assert entry["kwargs"]["records"] == ["1", "2"]
    assert entry["kwargs"]["corpus"] == postgres.url.replace(":correct-horse-7", "")
    assert "correct-horse" not in (runner.home / "manifests/gap_fill_v1.jsonl").read_text()
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    again = plan(runner, "--corpus", entry["kwargs"]["corpus"], "--table", "plain_texts")
    assert (again.code, again.err.splitlines()[0]) == (0, "the same plan was there already")
    assert "DATABASE_URL" not in again.err


def test_its_help_loads_no_database() -> None:
    """A third of a second that only those pay who open a corpus."""
    code = (
        "import sys\n"
        "from job_runner.cli.app import main\n"
        "assert main(['workflow', 'gap-fill', 'plan', '--help']) == 0\n"
        "assert not {'sqlalchemy', 'jsonschema'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_the_inputs_are_never_written_over(runner: JobRunner, corpus: Path) -> None:
    """Neither corpus, prompt, schema nor what is told first, however it is forced; nothing is scanned for it."""
    (runner.home / "told.txt").write_text("You count.")
    for flag, name in (
        ("--corpus", "corpus.jsonl"),
        ("--schema", "schema.json"),
        ("--prompt", "prompt.txt"),
        ("--system", "told.txt"),
    ):
        before = (runner.home / name).read_bytes()
        shown = plan(runner, "--system", "told.txt", "--out", name, "--force")
        assert (shown.code, shown.out) == (1, "")
        assert f"--out {name} is the file of {flag}; nothing was written" in shown.err
        assert (runner.home / name).read_bytes() == before
    assert corpus.exists()


def test_the_database_is_an_input_too(runner: JobRunner) -> None:
    """By the file in its URL."""
    engine = create_engine(f"sqlite:///{runner.home}/base.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table fables (id text primary key, text text)")
    engine.dispose()
    shown = runner(
        *("workflow", "gap-fill", "plan", "--corpus", "sqlite:///base.db", "--table", "fables", "--version", "v1"),
        *FILES,
        *("--out", "base.db", "--force"),
    )
    assert (shown.code, "base.db is the file of --corpus" in shown.err) == (1, True)


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('{"$schema": 5}', "$schema is 5, which is no text"),
        ('{"not": ' * 300 + "{}" + "}" * 300, "is nested deeper than 64 levels"),
        ('{"enum": ' + "[" * 300 + "]" * 300 + "}", "is nested deeper than 64 levels"),
        ('{"a": ' * 5000 + "{}" + "}" * 5000, "is no JSON"),
    ],
)
def test_what_dispatch_would_refuse_is_not_planned(runner: JobRunner, schema: str, said: str) -> None:
    """A schema that no job may carry, by its flag, and no surprise."""
    (runner.home / "schema.json").write_text(schema)
    shown = plan(runner)
    assert (shown.code, shown.out) == (2, "")
    assert "error: --schema schema.json" in shown.err
    assert said in shown.err
    assert "should not happen" not in shown.err
