"""What each field of a job accepts, in words, with values that prove the words.

The rules hold for the types of `lib.jobqueue.fields` that `JobSpec` uses; `tests/test_reference.py` gives every
`good` and `bad` value to the type itself, so that a rule here cannot be wrong for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from docs.generate.markdown import code, table
from lib.jobqueue import fields
from lib.jobqueue.output_names import MAX_NAME_BYTES
from lib.jobqueue.spec import SPEECH_FIELDS, JobSpec

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Rule:
    """What a type accepts, with examples of both kinds."""

    words: str
    good: tuple[Any, ...]
    bad: tuple[Any, ...]


RULES: Final = {
    "fields.Identifier": Rule(
        f"text, not blank, at most {MAX_NAME_BYTES} bytes, no control characters",
        ("a", "topic:beat-001", "Zoë", "x" * MAX_NAME_BYTES),
        ("", "  ", "a\nb", "x" * (MAX_NAME_BYTES + 1), 1),
    ),
    "fields.OutputName": Rule(
        f"relative path, at most {MAX_NAME_BYTES} bytes; no leading or trailing `/`, no empty part, no `.` or `..`, no "
        "backslash, no control character",
        ("a/b", "beat-001"),
        ("/a", "a/", "a//b", "a/../b", "./a", "a\\b", "a\0", "x" * (MAX_NAME_BYTES + 1)),
    ),
    "fields.Text": Rule("text", ("a",), (1, None)),
    "fields.Spoken": Rule("text, not blank, kept as it is", (" Hello.\n",), ("", " \n", 1)),
    "fields.VoiceSlug": Rule(
        "1 to 64 small letters, digits and inner hyphens", ("newsroom", "a-1"), ("", "News", "-a", "a-", "x" * 65)
    ),
    "fields.Priority": Rule(
        "`high`, `normal` or `low`; 0-2 is high, 3-6 normal, 7-9 low", ("high", 0, 6, 9), (10, -1, "urgent", True)
    ),
    "fields.Backend": Rule("`metal`, `cloud` or `vast`", ("metal", "cloud", "vast"), ("gpu", "")),
    "fields.OnConflict": Rule("`refuse` or `queue`", ("refuse", "queue"), ("wait",)),
    "fields.Profile": Rule("`stable`, `balanced` or `expressive`", ("stable", "balanced", "expressive"), ("wild",)),
    "fields.Moment": Rule(
        "ISO 8601 with a timezone; kept as UTC with milliseconds",
        ("2030-01-31T18:00:00Z", "2030-01-31T18:00:00.5+02:00"),
        ("2030-01-31T18:00:00", "tomorrow", 5),
    ),
    "fields.Attempts": Rule(
        f"whole number, 1 to {fields.MAX_ATTEMPTS}", (1, fields.MAX_ATTEMPTS), (0, fields.MAX_ATTEMPTS + 1, 1.5)
    ),
    "fields.Attempt": Rule("whole number, 0 or more", (0, 7), (-1, 1.5)),
    "fields.Variants": Rule(
        f"whole number, 1 to {fields.MAX_VARIANTS}", (1, fields.MAX_VARIANTS), (0, fields.MAX_VARIANTS + 1, 1.9)
    ),
    "fields.Tokens": Rule("whole number, 1 to 1000000", (1, 1_000_000), (0, 1_000_001)),
    "fields.TtlSeconds": Rule(
        f"whole seconds, 1 to {fields.MAX_TTL_SECONDS} (ten years)",
        (1, fields.MAX_TTL_SECONDS),
        (0, fields.MAX_TTL_SECONDS + 1),
    ),
    "fields.TimeoutSeconds": Rule(
        f"seconds, above 0, at most {fields.MAX_TIMEOUT_SECONDS} (a year)",
        (0.5, 600, fields.MAX_TIMEOUT_SECONDS),
        (0, -1, fields.MAX_TIMEOUT_SECONDS + 1, float("inf")),
    ),
    "fields.Temperature": Rule("number, 0 or more", (0, 0.7), (-0.1, float("nan"))),
    "fields.TopP": Rule("number, above 0, at most 1", (0.1, 1), (0, 1.1)),
    "fields.Penalty": Rule("number, above 0", (0.1, 2), (0, -1)),
    "bool": Rule("`true` or `false`; a file may also say 0/1, yes/no, on/off", (True, False), ("maybe",)),
    "dict[str, Any]": Rule("an object", ({}, {"a": [1]}), ([], "a")),
}

_DEFAULTS: Final = {
    "request_id": "`output_name` with `:` for `/`",
    "max_attempts": "`WATCHER_MAX_ATTEMPTS`",
    "timeout_seconds": "by task",
    "queued_at": "now",
    "content_hash": "computed",
}
"""Of fields whose default is not a constant."""

_REMARKS: Final = {
    "request_id": "one of it and `output_name` is needed",
    "task": "a registered task",
    "payload": "of every task but `speak`, which has flat fields",
    "text": "needed by `speak`",
    "voice": "`speak` needs exactly one of `voice` and `speaker`",
    "speaker": "a listed speaker",
    "tone": "with `voice` only",
    "instruct": "with `speaker` only",
    "instruct_style": "excludes `instruct`",
    "callback_url": "needs `CALLBACK_SECRET`, and a host of `CALLBACK_ALLOWED_HOSTS`",
    "content_hash": "of the fields of content; a given one must be right",
}


def type_of(name: str) -> str:
    """The name of a field's type as `JobSpec` writes it, None left out."""
    return str(JobSpec.__annotations__[name]).removesuffix(" | None")


def job_fields() -> str:
    """The table of a job's fields."""
    rows = [_row(name, info) for name, info in JobSpec.model_fields.items()]
    return table(("field", "accepts", "default", "content", "remarks"), rows)


def _row(name: str, info: FieldInfo) -> tuple[str, str, str, str, str]:
    default = _DEFAULTS.get(name)
    if default is None:
        value = info.get_default(call_default_factory=True)
        default = "none" if value is None else code(str(value).lower() if isinstance(value, bool) else str(value))
    content = "" if name in JobSpec.not_content else "yes"
    remarks = [_REMARKS[name]] if name in _REMARKS else []
    if name in SPEECH_FIELDS:
        remarks.append("speech")
    return code(name), RULES[type_of(name)].words, default, content, "; ".join(remarks)
