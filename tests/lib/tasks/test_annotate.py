"""`annotate`: what becomes of a batch, of its bad records, and of the job, on a corpus of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import (
    AnswerError,
    BlockedError,
    InvalidInputError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TemporaryError,
    TruncatedError,
)
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.tasks.annotate import Annotate
from tests.lib.corpus.corpora import KINDS, Kind, Made, make
from tests.lib.tasks.contexts import RecordingContext
from tests.support.scripted_model import SCHEMA, ScriptedModel, words

if TYPE_CHECKING:
    from pathlib import Path

    from lib.capabilities.text_model import TextRequest

SIX = [f"r{i}" for i in range(6)]


def job(made: Made, records: list[str], request_id: str = "batch", **payload: Any) -> JobSpec:
    """A job that annotates these records."""
    given = made.payload(records, answer_schema=SCHEMA, **payload)
    row = {"request_id": request_id, "task": "annotate", "payload": given, "queued_at": "2026-01-01T00:00:00Z"}
    return normalize_job_spec(row)


async def run(made: Made, spec: JobSpec, model: ScriptedModel, where: Path) -> dict[str, Any]:
    """One attempt; the result of the job."""
    done = await Annotate(made.places).run(spec, RecordingContext(where, request_id=spec.request_id, model=model))
    assert done.result is not None
    return done.result


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Six records; in a file, unless a test asks for every kind."""
    kind: Kind = getattr(request, "param", "jsonl")
    return make(kind, tmp_path / "corpora")


every_kind = pytest.mark.parametrize("made", KINDS, indirect=True)


def refusing(*texts: str, error: type[TaskError] = BlockedError) -> Any:
    """A script that refuses prompts that end with one of these texts."""

    def script(request: TextRequest) -> Any:
        said = request.prompt.removeprefix("Count: ")
        return error(f"will not answer {said!r}") if said in texts else words(request)

    return script


@every_kind
async def test_a_batch_is_annotated(made: Made, tmp_path: Path) -> None:
    """Each record asked once, in order, with the schema; the answers stand beside the corpus; the result counts."""
    model = ScriptedModel()
    result = await run(made, job(made, SIX, system="Be exact.", max_output_tokens=50, seed=9), model, tmp_path)
    assert result == {
        "version": "v1",
        "records": 6,
        "annotated": 6,
        "skipped": 0,
        "failed": [],
        "asked": 6,
        "resumed": 0,
        "input_tokens": sum(map(len, model.prompts)),
        "output_tokens": 42,
    }
    assert made.annotated() == {f"r{i}": {"words": i + 2} for i in range(6)}
    asked = model.asked[0]
    assert (asked.prompt, asked.system, asked.schema) == ("Count: word", "Be exact.", SCHEMA)
    assert (asked.max_output_tokens, asked.temperature, asked.seed) == (50, 0.0, 9)


async def test_progress_is_told_by_record(made: Made, tmp_path: Path) -> None:
    """A report after each, with step and total, and the failures named."""
    context = RecordingContext(tmp_path, model=ScriptedModel(refusing("word word")))
    await Annotate(made.places).run(job(made, SIX), context)
    assert [(step, total) for _, step, total, _ in context.reports] == [(i, 6) for i in range(1, 7)]
    assert context.reports[-1][0] == 100.0
    assert context.reports[-1][3] == "6 of 6 records, 1 failed"


@every_kind
async def test_running_it_again_asks_nobody(made: Made, tmp_path: Path) -> None:
    """Also when the first run had ended, but for its word to the queue: the same result, not one question."""
    model = ScriptedModel(refusing("word word"))
    first = await run(made, job(made, SIX), model, tmp_path)
    asked = len(model.asked)
    again = await run(made, job(made, SIX), model, tmp_path)
    assert len(model.asked) == asked
    assert {**again, "asked": 0, "resumed": 0} == {**first, "asked": 0, "resumed": 0}
    assert made.rows("annotations_failed")[0]["batches"] == 1


@every_kind
async def test_what_another_job_annotated_is_skipped(made: Made, tmp_path: Path) -> None:
    """Overlapping batches: nothing is asked twice, nothing is changed, both results are true."""
    await run(made, job(made, SIX[:4], "first"), ScriptedModel(), tmp_path)
    model = ScriptedModel(lambda _: {"words": -1})
    result = await run(made, job(made, SIX[2:], "second"), model, tmp_path)
    assert (result["annotated"], result["skipped"], result["asked"]) == (2, 2, 2)
    assert made.annotated()["r2"] == {"words": 4}
    assert made.annotated()["r5"] == {"words": -1}
    assert {row["record_id"]: row["job"] for row in made.rows()}["r3"] == "first"


async def test_versions_stand_side_by_side(made: Made, tmp_path: Path) -> None:
    """A record that has v1 is asked again for v2."""
    await run(made, job(made, ["r0"], "one"), ScriptedModel(), tmp_path)
    result = await run(made, job(made, ["r0"], "two", version="v2"), ScriptedModel(), tmp_path)
    assert result["annotated"] == 1
    assert [(row["record_id"], row["version"]) for row in made.rows()] == [("r0", "v1"), ("r0", "v2")]


@pytest.mark.parametrize(("error", "code"), [(BlockedError, "blocked"), (TruncatedError, "truncated")])
async def test_a_poisoned_record_is_the_only_failure(
    error: type[TaskError], code: str, made: Made, tmp_path: Path
) -> None:
    """The job is done: five annotated, one failed with its reason, asked once, noted beside the corpus."""
    model = ScriptedModel(refusing("word word word", error=error))
    result = await run(made, job(made, SIX), model, tmp_path)
    assert result["annotated"] == 5
    assert result["failed"] == [
        {"id": "r2", "error_type": code, "error": "will not answer 'word word word'"},
    ]
    assert len(model.asked) == 6
    assert sorted(made.annotated()) == ["r0", "r1", "r3", "r4", "r5"]
    [note] = made.rows("annotations_failed")
    assert (note["record_id"], note["error_type"], note["batches"]) == ("r2", code, 1)


async def test_an_answer_that_does_not_fit_is_asked_again_and_differently(made: Made, tmp_path: Path) -> None:
    """Three tries with rising temperature and other seeds; the first that fits is taken."""
    tries: dict[str, int] = {}

    def script(request: TextRequest) -> Any:
        tries[request.prompt] = tries.get(request.prompt, 0) + 1
        if request.prompt == "Count: word" and tries[request.prompt] < 3:
            return AnswerError("no JSON") if tries[request.prompt] == 1 else {"words": "many"}
        return words(request)

    model = ScriptedModel(script)
    result = await run(made, job(made, SIX), model, tmp_path)
    assert (result["annotated"], result["failed"], len(model.asked)) == (6, [], 8)
    assert [(each.temperature, each.seed) for each in model.asked[:3]] == [(0.0, 0), (0.4, 1), (0.8, 2)]


async def test_a_record_that_never_fits_fails_alone(made: Made, tmp_path: Path) -> None:
    """After three tries it is a failure of that record, which says what was wrong with the last answer."""
    model = ScriptedModel(lambda r: {"word": 1} if r.prompt == "Count: word" else words(r))
    result = await run(made, job(made, SIX), model, tmp_path)
    [failed] = result["failed"]
    assert (failed["id"], failed["error_type"]) == ("r0", "answer")
    assert "is not what its schema asks for" in failed["error"]
    assert len(model.asked) == 8


@pytest.mark.parametrize("value", [{"words": float("nan")}, {"words": 2**60}, {"words": 1, "more": "\ud800"}])
async def test_what_json_cannot_carry_is_no_answer(value: Any, made: Made, tmp_path: Path) -> None:
    """It would fail where it is written or read, and take the batch with it."""
    model = ScriptedModel(lambda r: value if r.prompt == "Count: word" else words(r))
    result = await run(made, job(made, SIX, "odd"), model, tmp_path)
    assert [each["id"] for each in result["failed"]] == ["r0"]


async def test_when_every_record_fails_for_now_the_job_fails_for_now(made: Made, tmp_path: Path) -> None:
    """The queue decides about another try; nothing is noted, and the next try asks all again."""
    with pytest.raises(AnswerError, match="none of 6 records got an answer"):
        await run(made, job(made, SIX), ScriptedModel(lambda _: AnswerError("no JSON")), tmp_path)
    assert made.rows("annotations_failed") == []
    assert (await run(made, job(made, SIX), ScriptedModel(), tmp_path))["annotated"] == 6


async def test_when_every_record_is_refused_the_job_fails_for_good(made: Made, tmp_path: Path) -> None:
    """And a plan knows about these records; the same job, retried by hand, asks again."""
    with pytest.raises(BlockedError, match="none of 2 records"):
        await run(made, job(made, SIX[:2]), ScriptedModel(lambda _: BlockedError("no")), tmp_path)
    assert [row["record_id"] for row in made.rows("annotations_failed")] == ["r0", "r1"]
    result = await run(made, job(made, SIX[:2]), ScriptedModel(), tmp_path)
    assert (result["annotated"], result["failed"]) == (2, [])
    assert made.rows("annotations_failed") == []


@pytest.mark.parametrize(
    "error",
    [
        QuotaError("the minute is full", delay_seconds=17),
        PausedError("the server is down", capability="text_model"),
    ],
)
async def test_a_wait_ends_the_attempt_at_once_and_loses_nothing(
    error: TemporaryError, made: Made, tmp_path: Path
) -> None:
    """Three answers were paid for; the next attempt asks about the other three, and the batch is seen as a whole."""
    count = 0

    def script(request: TextRequest) -> Any:
        nonlocal count
        count += 1
        return error if count == 4 else words(request)

    model = ScriptedModel(script)
    with pytest.raises(type(error)) as caught:
        await run(made, job(made, SIX), model, tmp_path)
    assert caught.value is error
    assert made.annotated() == {}
    result = await run(made, job(made, SIX), model, tmp_path)
    assert (result["annotated"], result["asked"], result["resumed"]) == (6, 3, 3)
    assert len(model.asked) == 7
    assert result["output_tokens"] == 42


@every_kind
async def test_a_refusal_is_not_asked_again_after_a_wait(made: Made, tmp_path: Path) -> None:
    """It was paid for as any answer, and would be the same."""
    scripts = iter([BlockedError("no"), QuotaError("full", delay_seconds=1)])
    model = ScriptedModel(lambda request: next(scripts, None) or words(request))
    with pytest.raises(QuotaError):
        await run(made, job(made, SIX), model, tmp_path)
    result = await run(made, job(made, SIX), model, tmp_path)
    assert [each["id"] for each in result["failed"]] == ["r0"]
    assert model.prompts.count("Count: word") == 1


async def test_one_record_that_stalls_is_put_off_and_fails_alone(made: Made, tmp_path: Path) -> None:
    """It comes last and gets a second chance; the others do not wait for it."""
    model = ScriptedModel(refusing("word word", error=OverloadedError))
    with pytest.raises(OverloadedError):
        # Its two chances stand next to each other when there is no other record to ask.
        await run(made, job(made, ["r1"]), model, tmp_path)
    model.asked.clear()
    stalled = refusing("word word", "word word word word", error=OverloadedError)
    result = await run(
        made, job(made, SIX, "six"), ScriptedModel(refusing("word word", error=OverloadedError)), tmp_path
    )
    assert result["annotated"] == 5
    assert [(each["id"], each["error_type"]) for each in result["failed"]] == [("r1", "overloaded")]
    with pytest.raises(OverloadedError):
        await run(made, job(made, SIX, "late", version="v2"), ScriptedModel(stalled), tmp_path)


async def test_two_stalls_in_a_row_are_the_server(made: Made, tmp_path: Path) -> None:
    """Going on would only load it more; what was answered before is kept."""
    answers = iter([None, None, OverloadedError("busy"), OverloadedError("busy")])
    model = ScriptedModel(lambda request: next(answers, None) or words(request))
    with pytest.raises(OverloadedError, match="busy"):
        await run(made, job(made, SIX), model, tmp_path)
    assert len(model.asked) == 4
    result = await run(made, job(made, SIX), model, tmp_path)
    assert (result["annotated"], result["asked"]) == (6, 4)


async def test_a_record_that_is_not_there_fails_alone(made: Made, tmp_path: Path) -> None:
    """Somebody deleted it since the plan."""
    result = await run(made, job(made, ["r0", "gone"]), ScriptedModel(), tmp_path)
    assert result["annotated"] == 1
    assert result["failed"] == [{"id": "gone", "error_type": "permanent", "error": "the corpus has no record 'gone'"}]


async def test_a_record_without_the_field_fails_alone_and_unasked(made: Made, tmp_path: Path) -> None:
    """The prompt names what it does not have."""
    data = {"r0": {"text": "word"}, "r1": {"text": "a", "title": "b"}}
    whole = job(made, ["r0", "r1"], data=data)
    assert (await run(made, whole, ScriptedModel(), tmp_path))["annotated"] == 2
    with pytest.raises(PermanentError, match="has no field 'title'"):
        await run(made, job(made, ["r0"], "t", prompt="{title}", version="v2"), ScriptedModel(), tmp_path)


async def test_a_record_that_no_model_can_be_sent_fails_alone(made: Made, tmp_path: Path) -> None:
    """JSON can hold half a character in an escape; no request can."""
    with (made.places.root / "words.jsonl").open("a") as file:
        file.write('{"id": "half", "text": "\\ud800"}\n')
    model = ScriptedModel()
    result = await run(made, job(made, ["half", "r0"]), model, tmp_path)
    assert (result["annotated"], len(model.asked)) == (1, 1)
    assert "lone surrogate" in result["failed"][0]["error"]


@every_kind
async def test_records_may_come_with_the_job(made: Made, tmp_path: Path) -> None:
    """Then the corpus is not read for them, only written."""
    model = ScriptedModel()
    result = await run(made, job(made, ["new"], data={"new": {"text": "a b c"}}), model, tmp_path)
    assert (result["annotated"], model.prompts) == (1, ["Count: a b c"])
    assert made.annotated() == {"new": {"words": 4}}


async def test_an_answer_to_another_question_is_not_used(made: Made, tmp_path: Path) -> None:
    """The prompt was changed between two attempts: what was kept answers something else."""
    waiting = iter([None, QuotaError("full", delay_seconds=1)])
    model = ScriptedModel(lambda request: next(waiting, None) or words(request))
    with pytest.raises(QuotaError):
        await run(made, job(made, ["r0", "r1"]), model, tmp_path)
    other = ScriptedModel()
    result = await run(made, job(made, ["r0", "r1"], "other", prompt="Count now: {text}"), other, tmp_path)
    assert (result["annotated"], result["asked"]) == (2, 2)


async def test_a_replaced_job_asks_again_about_its_failures(made: Made, tmp_path: Path) -> None:
    """`enqueue --replace` begins anew: only an attempt of the same job takes over its failures."""
    await run(made, job(made, SIX), ScriptedModel(refusing("word")), tmp_path)
    later = job(made, SIX).model_copy(update={"queued_at": job(made, SIX).queued_at.replace(year=2027)})
    result = await run(made, later, ScriptedModel(), tmp_path)
    assert (result["annotated"], result["skipped"], result["failed"]) == (1, 5, [])


async def test_a_corpus_that_is_not_here_says_so(made: Made, tmp_path: Path) -> None:
    """Another watcher may have it, so for now; the mend is named. What may not be named here is refused for good."""
    elsewhere = {"corpus": "other.jsonl", "table": ""}
    with pytest.raises(TemporaryError, match=r"no corpus other\.jsonl is here") as caught:
        await run(made, job(made, ["r0"], **elsewhere), ScriptedModel(), tmp_path)
    assert "WATCHER_CORPUS_ROOT" in (caught.value.hint or "")
    with pytest.raises(InvalidInputError, match="does not lie below"):
        await run(made, job(made, ["r0"], **{**elsewhere, "corpus": "../x.jsonl"}), ScriptedModel(), tmp_path)


async def test_a_corpus_with_mistakes_says_which(made: Made, tmp_path: Path) -> None:
    """Lines are named in the job's error; no try mends them."""
    with (made.places.root / "words.jsonl").open("a") as file:
        file.write("oops\n")
    with pytest.raises(PermanentError, match=r"words\.jsonl:7: is no JSON"):
        await run(made, job(made, ["r0"]), ScriptedModel(), tmp_path)
