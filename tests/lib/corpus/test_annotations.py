"""The store of annotations on SQLite beside a file, in an SQLite database and in PostgreSQL: the same promises."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine

from lib.corpus.answers import Answer, Asker, Failure, Known
from lib.corpus.opening import open_corpus
from lib.corpus.places import CorpusPlaces
from lib.errors import UnreachableError
from tests.lib.corpus.corpora import make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.corpus.corpus import Corpus
    from tests.support.postgres import Postgres

ME, OTHER = Asker("job-1", "2026-01-01T00:00:00Z"), Asker("job-2", "2026-01-01T00:00:00Z")
AT = "2026-01-02T00:00:00Z"


def opened_postgres(server: Postgres, root: Path) -> Corpus:
    """Six records in a table of its own."""
    name = f"words_{uuid.uuid4().hex[:8]}"
    engine = create_engine(server.url)
    table = Table(name, MetaData(), Column("number", Integer, primary_key=True), Column("text", Text))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"number": i, "text": "word"} for i in range(6)])
    engine.dispose()
    return open_corpus(CorpusPlaces(root, server.url), server.url_with(""), table=name)


@pytest.fixture(params=["jsonl", "sqlite", "postgresql"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Corpus]:
    """A corpus of each kind."""
    if request.param == "postgresql":
        corpus = opened_postgres(request.getfixturevalue("postgres"), tmp_path)
    else:
        corpus = make(request.param, tmp_path / "corpora").opened()
    yield corpus
    corpus.close()


def answer(record: str, value: Any, question: str = "q") -> Answer:
    """An answer to the question `q` that cost something."""
    return Answer(record, question, value, "model", 10, 3, 0.001)


def test_nothing_is_known_of_a_new_corpus(corpus: Corpus) -> None:
    """And nothing is made by asking."""
    store = corpus.annotations
    assert store.known(["r0"], "v1", ME) == {}
    assert store.failures(["r0"], "v1") == (frozenset(), {})
    assert list(store.rows("v1")) == []


def test_kept_is_seen_by_nobody_until_the_batch_is_published(corpus: Corpus) -> None:
    """And then at once; other jobs may use what is kept."""
    store = corpus.annotations
    store.keep(answer("r0", {"a": [1, None, "ü\n"]}), "v1", ME)
    assert list(store.rows("v1")) == []
    assert store.known(["r0", "r1"], "v1", OTHER) == {
        "r0": Known("kept", mine=False, question="q", input_tokens=10, output_tokens=3)
    }
    published = store.publish({"r0": "q"}, {"r1": Failure("blocked", "no\0 \ud800")}, "v1", ME, AT)
    assert published.annotated == {"r0"}
    assert published.failed == {"r1"}
    [row] = store.rows("v1")
    assert (row.record_id, row.annotation, row.model, row.job, row.annotated_at) == (
        "r0",
        {"a": [1, None, "ü\n"]},
        "model",
        "job-1",
        AT,
    )
    known = store.known(["r0", "r1"], "v1", ME)
    assert known["r0"] == Known("annotated", mine=True, question="q", input_tokens=10, output_tokens=3)
    assert known["r1"] == Known("failed", mine=True, failure=Failure("blocked", "no\N{REPLACEMENT CHARACTER} ?"))
    assert store.failures(["r0", "r1", "r2"], "v1") == (frozenset({"r0"}), {"r1": 1})


def test_the_first_writer_stands(corpus: Corpus) -> None:
    """A second answer to the same question, a second publishing, a late one of another job: nothing changes."""
    store = corpus.annotations
    store.keep(answer("r0", 1), "v1", ME)
    store.keep(answer("r0", 2), "v1", OTHER)
    assert store.publish({"r0": "q"}, {}, "v1", ME, AT).annotated == {"r0"}
    assert store.publish({"r0": "q"}, {}, "v1", ME, "later").annotated == {"r0"}
    store.keep(answer("r0", 3), "v1", OTHER)
    late = store.publish({"r0": "q"}, {}, "v1", OTHER, "later")
    assert late.annotated == frozenset()
    assert late.by_others == {"r0"}
    assert [(row.annotation, row.job, row.annotated_at) for row in store.rows("v1")] == [(1, "job-1", AT)]
    assert store.known(["r0"], "v1", OTHER)["r0"].state == "annotated"


def test_an_answer_replaces_a_refusal_and_an_answer_to_something_else(corpus: Corpus) -> None:
    """What is kept is the latest that may be used."""
    store = corpus.annotations
    store.keep(answer("r0", Failure("blocked", "no")), "v1", ME)
    assert store.known(["r0"], "v1", ME)["r0"].failure == Failure("blocked", "no")
    store.keep(answer("r0", 1), "v1", OTHER)
    assert store.known(["r0"], "v1", ME)["r0"] == Known(
        "kept", mine=False, question="q", input_tokens=10, output_tokens=3
    )
    store.keep(answer("r0", 2, "other"), "v1", ME)
    assert store.publish({"r0": "q"}, {}, "v1", ME, AT).gone == {"r0"}
    assert store.publish({"r0": "other"}, {}, "v1", ME, AT).annotated == {"r0"}


def test_a_failure_is_counted_once_a_batch_and_forgotten_when_annotated(corpus: Corpus) -> None:
    """So that a plan knows how often a record has failed."""
    store = corpus.annotations
    failed = {"r0": Failure("answer", "no JSON")}
    for asker in (ME, ME, OTHER):
        store.publish({}, failed, "v1", asker, AT)
    assert store.failures(["r0"], "v1")[1] == {"r0": 2}
    store.keep(answer("r0", 1), "v1", ME)
    store.publish({"r0": "q"}, {}, "v1", ME, AT)
    assert store.publish({}, failed, "v1", OTHER, AT).failed == frozenset()
    assert store.failures(["r0"], "v1") == (frozenset({"r0"}), {})


def test_a_failure_here_leaves_the_answer_that_another_job_keeps(corpus: Corpus) -> None:
    """To another question it may well have an answer."""
    store = corpus.annotations
    store.keep(answer("r0", 1, "other"), "v1", OTHER)
    store.publish({}, {"r0": Failure("blocked", "no")}, "v1", ME, AT)
    assert store.publish({"r0": "other"}, {}, "v1", OTHER, AT).annotated == {"r0"}


def test_many_writers_at_once(corpus: Corpus) -> None:
    """Four threads with records in common, in different orders: each record once, nobody in another's way for ever."""
    store = corpus.annotations
    names = [f"r{i}" for i in range(6)]
    errors: list[BaseException] = []
    mine: list[frozenset[str]] = []

    def work(number: int) -> None:
        asker = Asker(f"job-{number}", AT)
        order = names[number % 6 :] + names[: number % 6]
        try:
            for name in order:
                store.keep(answer(name, number), "v1", asker)
            mine.append(store.publish(dict.fromkeys(order, "q"), {}, "v1", asker, AT).annotated)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the test must see it
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(name for each in mine for name in each) == names
    assert [row.record_id for row in store.rows("v1")] == names


async def test_gaps_are_what_has_no_annotation(corpus: Corpus) -> None:
    """In the order of the corpus, page by page; failures among them."""
    await corpus.check()
    all_ids = [record.id async for record in corpus.gaps("v1")]
    assert len(all_ids) == 6
    first, second = all_ids[:2]
    await corpus.keep(answer(first, 1), "v1", ME)
    await corpus.publish({first: "q"}, {second: Failure("blocked", "no")}, "v1", ME, AT)
    assert [record.id async for record in corpus.gaps("v1")] == all_ids[1:]
    pages = [page async for page in corpus.scan("v1")]
    assert [seen.coverage for page in pages for seen in page][:3] == ["annotated", "failed", "gap"]
    assert [row.record_id async for page in corpus.annotated("v1") for row in page] == [first]
    assert [record.id async for record in corpus.gaps("v2")] == all_ids


def test_a_database_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    """For a job that is worth another try, for a command exit code 3; and no password is shown."""
    url = "postgresql://ann:secret-99@127.0.0.1:1/x"
    corpus = open_corpus(CorpusPlaces(tmp_path, url), "postgresql://ann@127.0.0.1:1/x", table="words")
    with pytest.raises(UnreachableError) as caught:
        corpus.records.check()
    assert "secret" not in f"{caught.value} {caught.value.hint}"
    corpus.close()
