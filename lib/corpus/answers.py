"""What was found out about a record, and what the store of annotations says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Asker:
    """The job that asks. `queued_at` tells apart two jobs of one request_id, where the second replaced the first."""

    job: str
    queued_at: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no annotation of a record: the code of an error, and its message."""

    error_type: str
    error: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking about one record: an annotation, or a failure that asking again would only repeat.

    `question` is a hash of everything that was asked, so that an answer is used for no other question.
    """

    record_id: str
    question: str
    outcome: Any | Failure
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


State = Literal["annotated", "kept", "failed"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a record in one version: `mine` says that it is from the job that asks.

    `kept` is an answer that nobody sees yet, `failed` the note of a batch that is over.
    """

    state: State
    mine: bool
    question: str = ""
    failure: Failure | None = None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a batch: annotated by it, annotated by somebody else, failed, and gone from the store."""

    annotated: frozenset[str]
    by_others: frozenset[str]
    failed: frozenset[str]
    gone: frozenset[str]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation as it is handed out."""

    record_id: str
    version: str
    annotation: Any
    model: str
    job: str
    annotated_at: str
