"""`annotate`: a batch of records of a corpus through the text model, against a JSON schema, written back at once.

What that means when things go wrong. Each answer is kept in the corpus the moment it comes; when every record of the
batch has been asked, one transaction makes the batch visible. So an attempt may die anywhere, or end because a quota is
used up: the next one asks only about the records that have no answer yet. A record that the model refuses, or whose
answers never fit the schema, is a failure of that record: it stands in the job's result and beside the corpus, the
others are annotated, the job is done. Only when no record got an answer does the job itself fail, so that the queue
decides about another try. What cannot last (a quota, a paused backend) ends the attempt at once.

It runs in the watcher's own loop and waits for the model most of the time. How one record is asked: `lib.tasks.asking`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib import failpoints
from lib.clock import Clock, SystemClock, iso
from lib.corpus.answers import Answer, Asker, Failure, Known
from lib.errors import (
    AnswerError,
    BlockedError,
    InvalidJobsError,
    NotFoundError,
    OverloadedError,
    PermanentError,
    TaskError,
    TemporaryError,
    TruncatedError,
    WaitError,
)
from lib.jobqueue.annotating import AnnotatePayload
from lib.jobqueue.content_hash import canonical
from lib.jobqueue.json_values import text_problem
from lib.jobqueue.prompts import filled, missing_fields
from lib.tasks.asking import Questioner
from lib.tasks.base import TaskContext, TaskResult, built_in_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.corpus.corpus import Corpus
    from lib.corpus.places import CorpusPlaces
    from lib.jobqueue import JobSpec, TaskKind

# One record that always stalls is that record; two that stall one after the other are the server.
_STALLS_IN_A_ROW: Final = 2
_ERROR_SHOWN: Final = 200


class Annotate:
    """`places` says which corpora this machine may touch."""

    def __init__(self, places: CorpusPlaces, clock: Clock | None = None) -> None:
        self._places = places
        self._clock = clock or SystemClock()

    @property
    def kind(self) -> TaskKind:
        """The built-in `annotate`."""
        return built_in_kind("annotate")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Annotate what is not annotated yet; see the module for what is an error of a record and what of the job."""
        payload = AnnotatePayload.model_validate(job.payload)
        try:
            return TaskResult(result=await self._annotated(payload, job, context))
        except InvalidJobsError as exc:
            raise PermanentError("; ".join(map(str, exc.problems[:3])), hint="mend the corpus") from exc
        except NotFoundError as exc:
            # Another watcher may have it on its disk.
            raise TemporaryError(exc.message, hint=exc.hint) from exc

    async def _annotated(self, payload: AnnotatePayload, job: JobSpec, context: TaskContext) -> dict[str, Any]:
        corpus = await asyncio.to_thread(self._open, payload)
        questioner = Questioner(
            context.text_model, payload.system, payload.answer_schema, payload.max_output_tokens, payload.seed
        )
        asker = Asker(job.request_id, iso(job.queued_at))
        async with corpus:
            batch = await _Batch.begun(payload, corpus, questioner, asker, context)
            await batch.ask_all()
            return await batch.end(iso(self._clock.now()))

    def _open(self, payload: AnnotatePayload) -> Corpus:
        # A third of a second of imports, which neither the watcher's loop nor the start of a program must feel.
        from lib.corpus.opening import open_corpus  # noqa: PLC0415

        return open_corpus(self._places, payload.corpus, table=payload.table, id_field=payload.id_field)


@dataclass(slots=True)
class _Batch:
    """One attempt at a batch: what is known by now of each record."""

    payload: AnnotatePayload
    corpus: Corpus
    questioner: Questioner
    asker: Asker
    context: TaskContext
    records: Mapping[str, Mapping[str, Any]]
    known: Mapping[str, Known]
    answered: dict[str, str] = field(default_factory=dict)
    """Record to question, of what is kept or was just answered."""
    failures: dict[str, Failure] = field(default_factory=dict)
    errors: list[TaskError] = field(default_factory=list)
    asked: int = 0
    resumed: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0])

    @classmethod
    async def begun(
        cls, payload: AnnotatePayload, corpus: Corpus, questioner: Questioner, asker: Asker, context: TaskContext
    ) -> _Batch:
        known = await corpus.known(payload.records, payload.version, asker)
        missing = [name for name in payload.records if name not in known or known[name].state != "annotated"]
        records: Mapping[str, Mapping[str, Any]] = payload.data or {}
        if payload.data is None and missing:
            records = {name: record.fields for name, record in (await corpus.read(missing)).items()}
        return cls(payload, corpus, questioner, asker, context, records, known)

    async def ask_all(self) -> None:
        """Ask about every record that needs it; one that stalls is put off to the end, once."""
        # A batch that was over already, but for the word to the queue, is not opened again.
        was_over = any(each.state == "annotated" and each.mine for each in self.known.values())
        rest = deque(self.payload.records)
        put_off: set[str] = set()
        stalls = 0
        while rest:
            name = rest.popleft()
            try:
                await self._one(name, was_over=was_over)
            except WaitError:
                raise
            except AnswerError as exc:
                self._failed(name, exc)
            except TemporaryError as exc:
                stalls += 1
                if stalls >= _STALLS_IN_A_ROW:
                    raise
                if name in put_off:
                    self._failed(name, exc)
                else:
                    put_off.add(name)
                    rest.append(name)
            else:
                stalls = 0
            await self._tell(len(self.payload.records) - len(rest))

    async def end(self, at: str) -> dict[str, Any]:
        """Make the batch visible; what became of it is the job's result.

        Raises:
            TaskError: no record got an answer, or one is gone from the corpus's store.

        """
        error = self._error_of_all()
        if isinstance(error, TemporaryError):
            raise error
        published = await self.corpus.publish(self.answered, self.failures, self.payload.version, self.asker, at)
        failpoints.reach("annotate.published")
        if error is not None:
            raise error
        if published.gone:
            raise TemporaryError(
                f"the answer about {min(published.gone)!r} is gone from the store of annotations",
                hint="does somebody delete there, or write this version with another prompt? It is asked again",
            )
        theirs = [name for name, each in self.known.items() if each.state == "annotated" and not each.mine]
        mine = [name for name, each in self.known.items() if each.state == "annotated" and each.mine]
        return {
            "version": self.payload.version,
            "records": len(self.payload.records),
            "annotated": len(published.annotated) + len(mine),
            "skipped": len(published.by_others) + len(theirs),
            "failed": [self._told(name) for name in self.payload.records if name in published.failed],
            "asked": self.asked,
            "resumed": self.resumed + len(mine),
            "input_tokens": self.tokens[0],
            "output_tokens": self.tokens[1],
        }

    async def _one(self, name: str, *, was_over: bool) -> None:
        """Settle one record: out of what is known, or by asking. Raises what the model raises but `PermanentError`."""
        known = self.known.get(name)
        if known is not None and known.state == "annotated":
            self._count(known, mine=known.mine)
            return
        if known is not None and known.state == "failed" and known.mine and was_over and known.failure is not None:
            self.failures[name] = known.failure
            return
        try:
            prompt = self._prompt(name)
        except PermanentError as exc:
            self._failed(name, exc)
            return
        question = self._hash(prompt)
        # Asked now and not only at the start: another batch may have the same record in its hands.
        now = (await self.corpus.known([name], self.payload.version, self.asker)).get(name)
        if now is not None and now.state == "annotated":
            self.answered[name] = now.question
        elif now is not None and now.state == "kept" and now.question == question and now.failure is None:
            self.answered[name] = question
            self.resumed += 1
            self._count(now, mine=True)
        elif now is not None and now.state == "kept" and now.question == question and now.failure and now.mine:
            self.failures[name] = now.failure
        else:
            await self._ask(name, prompt, question)

    async def _ask(self, name: str, prompt: str, question: str) -> None:
        self.asked += 1
        try:
            given = await self.questioner.ask(prompt)
        except PermanentError as exc:
            # Kept too: it was asked and paid for as any other, and would be refused again.
            self._failed(name, exc)
            await self.corpus.keep(Answer(name, question, self.failures[name]), self.payload.version, self.asker)
            return
        failpoints.reach("annotate.answered")
        tokens = given.input_tokens, given.output_tokens
        kept = Answer(name, question, given.value, given.model, *tokens, given.usd)
        await self.corpus.keep(kept, self.payload.version, self.asker)
        failpoints.reach("annotate.kept")
        self.answered[name] = question
        self.tokens = [before + more for before, more in zip(self.tokens, tokens, strict=True)]

    def _prompt(self, name: str) -> str:
        record = self.records.get(name)
        if record is None:
            raise PermanentError(f"the corpus has no record {name!r}")
        missing = missing_fields(self.payload.prompt, record)
        if missing:
            raise PermanentError(f"the record has no field {missing[0]!r}, which the prompt names")
        prompt = filled(self.payload.prompt, record)
        problem = text_problem(prompt)
        if problem is not None:
            raise PermanentError(f"the record {problem}")
        return prompt

    def _hash(self, prompt: str) -> str:
        asked = {"prompt": prompt, "system": self.payload.system, "schema": self.payload.answer_schema}
        return hashlib.sha256(canonical(asked)).hexdigest()

    def _failed(self, name: str, error: TaskError) -> None:
        self.failures[name] = Failure(error.code, error.message)
        self.errors.append(error)

    def _error_of_all(self) -> TaskError | None:
        """What the job fails with, if no record got an answer although there were some to ask about."""
        mine = any(each.state == "annotated" and each.mine for each in self.known.values())
        if not self.errors or self.answered or mine:
            return None
        worst = next((error for error in self.errors if isinstance(error, TemporaryError)), self.errors[-1])
        kinds: tuple[type[TaskError], ...] = (AnswerError, OverloadedError, BlockedError, TruncatedError)
        otherwise = TemporaryError if isinstance(worst, TemporaryError) else PermanentError
        kind = next((each for each in kinds if isinstance(worst, each)), otherwise)
        count = len(self.errors)
        said = worst.message if count == 1 else f"none of {count} records got an answer, as: {worst.message}"
        return kind(said, hint=worst.hint)

    def _count(self, known: Known, *, mine: bool) -> None:
        if mine:
            self.tokens = [self.tokens[0] + known.input_tokens, self.tokens[1] + known.output_tokens]

    def _told(self, name: str) -> dict[str, str]:
        failure = self.failures[name]
        return {"id": name, "error_type": failure.error_type, "error": failure.error[:_ERROR_SHOWN]}

    async def _tell(self, settled: int) -> None:
        total = len(self.payload.records)
        failed = f", {len(self.failures)} failed" if self.failures else ""
        await self.context.progress(
            round(100 * settled / total, 1), step=settled, total=total, message=f"{settled} of {total} records{failed}"
        )
