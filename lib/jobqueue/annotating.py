"""What a job of the task `annotate` is asked for: which records of which corpus, and what to ask of each.

Pure, so that a mistake in a prompt or a schema is found where a job is submitted. What a location may lead to is a
question to the machine that opens it (`lib.corpus.places`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from lib.jobqueue.answer_schema import schema_problem
from lib.jobqueue.json_values import text_problem
from lib.jobqueue.output_names import has_control_character
from lib.jobqueue.prompts import fields_of, missing_fields

MOST_RECORDS: Final = 200
"""Records of one batch: with an error for each, its result stays well below what a job's record may hold."""

LONGEST_ID: Final = 256
"""Characters of a record's id; it is a key of the tables of annotations."""

LONGEST_PROMPT: Final = 100_000
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def record_id(value: object) -> object:
    """An id as text: corpora number their records or name them, and 7 is the record "7"."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def id_problem(value: object) -> str | None:
    """What is wrong with a record's id, given as in the corpus, and how to mend it; or None."""
    text = record_id(value)
    if not isinstance(text, str):
        return "is no text or whole number"
    if not text.strip():
        return "is blank"
    if len(text) > LONGEST_ID:
        return f"has {len(text)} characters; at most {LONGEST_ID} are allowed"
    return "holds a control character" if has_control_character(text) else text_problem(text)


def _sound_id(text: str) -> str:
    problem = id_problem(text)
    if problem is not None:
        raise ValueError(f"the id {problem}")
    return text


RecordId = Annotated[str, BeforeValidator(record_id), Field(strict=True)]


class AnnotatePayload(BaseModel):
    """`annotate` asks the text model about each record and writes the answers back into the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records: Annotated[tuple[RecordId, ...], Field(min_length=1, max_length=MOST_RECORDS)]
    """Which records, by their ids."""
    data: dict[str, dict[str, Any]] | None = None
    """The records themselves, by id; without it they are read from the corpus."""

    corpus: Annotated[str, Field(strict=True, min_length=1, max_length=1024)]
    """A JSONL file below WATCHER_CORPUS_ROOT, or the URL of a database, without a password."""
    table: Annotated[str, Field(strict=True, max_length=128)] = ""
    id_field: Annotated[str, Field(strict=True, max_length=128)] = ""
    """The field or column that names a record; by default `id`, and of a table its primary key."""

    version: Annotated[str, Field(strict=True)]
    prompt: Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_PROMPT)]
    system: Annotated[str, Field(strict=True, max_length=LONGEST_PROMPT)] = ""
    answer_schema: dict[str, Any]
    max_output_tokens: Annotated[int, Field(strict=True, ge=1, le=65_536)] = 1024
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 0
    again: Annotated[int, Field(strict=True, ge=0)] = 0
    """How often these records have failed before: tells a batch that is planned anew from the one before."""

    @field_validator("records")
    @classmethod
    def _each_once(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for each in ids:
            _sound_id(each)
        if len(set(ids)) < len(ids):
            twice = next(each for each in ids if ids.count(each) > 1)
            raise ValueError(f"names the record {twice!r} twice")
        return ids

    @field_validator("version")
    @classmethod
    def _plain(cls, version: str) -> str:
        if not _VERSION.fullmatch(version):
            raise ValueError(f"{version[:70]!r} is no version; write up to 64 letters, digits, '.', '_' and '-'")
        return version

    @field_validator("prompt")
    @classmethod
    def _of_the_record(cls, prompt: str) -> str:
        if not fields_of(prompt):
            raise ValueError("names no field of a record, so that all would be asked the same; write {text}, say")
        return prompt

    @field_validator("answer_schema")
    @classmethod
    def _sound(cls, schema: dict[str, Any]) -> dict[str, Any]:
        problem = schema_problem(schema)
        if problem is not None:
            raise ValueError(problem)
        return schema

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.data is None:
            return self
        if self.data.keys() != set(self.records):
            odd = sorted(self.data.keys() ^ set(self.records))
            raise ValueError(f"records and data do not name the same records: {odd[0]!r} is in one of them alone")
        for name, record in self.data.items():
            for missing in missing_fields(self.prompt, record):
                raise ValueError(f"the prompt names {{{missing}}}, which the record {name!r} does not have")
        return self
