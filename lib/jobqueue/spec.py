"""One job, validated: the only form in which a job travels through the system.

`normalise` makes it from a row, the queue carries its JSON, a watcher reads it back. It is immutable; what changes
while a job runs (attempt, generation, place) lives in the queue's index, not here. Rules between fields and all
defaults that depend on settings or task are in `normalise`, not here.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.errors import InvalidInputError
from lib.jobqueue import fields
from lib.jobqueue.catalogue import DEFAULT_TASK
from lib.jobqueue.content_hash import content_hash_of, identity_of_parts
from lib.jobqueue.problems import from_validation

# A list of what does not define the output, not of what does: a field that is forgotten here makes two hashes
# differ and costs one synthesis; forgotten in the other list, it would hand out the wrong audio.
_NOT_CONTENT: Final = frozenset(
    {
        "request_id",
        "output_name",
        "priority",
        "backend",
        "deadline",
        "run_after",
        "max_attempts",
        "timeout_seconds",
        "conflict_key",
        "on_conflict",
        "callback_data",
        "callback_url",
        "ttl_seconds",
        "queued_at",
        "attempt",
        "cache",
        "content_hash",
    }
)

SPEECH_FIELDS: Final = (
    "voice",
    "speaker",
    "text",
    "language",
    "tone",
    "instruct",
    "instruct_style",
    "profile",
    "variants",
    "select_best",
    "chunk",
    "temperature",
    "top_p",
    "repetition_penalty",
    "max_new_tokens",
)
"""The fields that only `speak` has; they stand flat in a job file."""


class JobSpec(BaseModel):
    """A job as it was accepted. Times are UTC with milliseconds."""

    # Strings of jobs hardly repeat: by default each process would keep the last 16 000 of them, a megabyte or two.
    model_config = ConfigDict(extra="forbid", frozen=True, cache_strings="keys")

    request_id: fields.Identifier
    task: fields.Text = DEFAULT_TASK
    payload: dict[str, Any] = Field(default_factory=dict)
    priority: fields.Priority = "normal"
    backend: fields.Backend | None = None
    deadline: fields.Moment | None = None
    run_after: fields.Moment | None = None
    max_attempts: fields.Attempts
    timeout_seconds: fields.TimeoutSeconds
    conflict_key: fields.Identifier | None = None
    on_conflict: fields.OnConflict = "refuse"
    callback_data: dict[str, Any] = Field(default_factory=dict)
    callback_url: fields.Text | None = None
    ttl_seconds: fields.TtlSeconds | None = None
    queued_at: fields.Moment
    attempt: fields.Attempt = 0
    output_name: fields.OutputName | None = None
    cache: bool = True
    """False: made anew, even where the files of an equal job are there."""

    voice: fields.VoiceSlug | None = None
    speaker: fields.Identifier | None = None
    text: fields.Spoken | None = None
    language: fields.Identifier = "English"
    tone: fields.Spoken | None = None
    instruct: fields.Spoken | None = None
    instruct_style: fields.Identifier | None = None
    profile: fields.Profile | None = None
    variants: fields.Variants = 1
    select_best: bool = False
    chunk: bool = False
    temperature: fields.Temperature | None = None
    top_p: fields.TopP | None = None
    repetition_penalty: fields.Penalty | None = None
    max_new_tokens: fields.Tokens | None = None

    content_hash: fields.Text = ""
    """Computed when absent; a JSON that carries it was made by this class and is not hashed again."""

    not_content: ClassVar[frozenset[str]] = _NOT_CONTENT

    @model_validator(mode="after")
    def _hash_content(self) -> Self:
        if not self.content_hash:
            # The one write to a frozen model, before anyone else has seen it.
            self.__dict__["content_hash"] = content_hash_of(self.content())
        return self

    def content(self) -> dict[str, Any]:
        """What defines the output: every field that is neither excluded by name nor equal to its default."""
        values = self.__dict__
        defaults = _content_defaults(type(self))
        return {
            name: values[name]
            for name in self.__pydantic_fields_set__
            if name in defaults and values[name] != defaults[name]
        }

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON in the order of the fields; fields equal to their default are left out."""
        # What `model_dump_json` calls, without the way through text.
        return self.__pydantic_serializer__.to_json(self, exclude_defaults=True)

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """The job that `to_json` wrote.

        Raises:
            InvalidInputError: `raw` is no such JSON. A job that another program wrote goes through
                `normalize_job_spec` instead.
        """
        # Strictly first: what `to_json` writes almost always passes so, at half the cost.
        try:
            return cls.__pydantic_validator__.validate_json(raw, strict=True)  # type: ignore[no-any-return]  # the library's stub says Any
        except ValidationError:
            pass
        try:
            return cls.model_validate_json(raw)
        except ValidationError as exc:
            said = "; ".join(str(problem) for problem in from_validation(exc, cls.model_fields))
            raise InvalidInputError(
                f"not the JSON of a job: {said}", hint="was it written by a newer version?"
            ) from exc


@cache
def _content_defaults(cls: type[JobSpec]) -> dict[str, Any]:
    """The fields that define an output, each with its default."""
    return {
        name: info.get_default(call_default_factory=True)
        for name, info in cls.model_fields.items()
        if name not in cls.not_content
    }


def identity_of(spec: JobSpec) -> str:
    """What makes two requests under one request_id the same: content and output name, in 22 characters."""
    return identity_of_parts(spec.content_hash, spec.output_name)
