"""Field by field: what a row may say, what it becomes, and what a mistake is answered with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from lib.jobqueue import BUILT_IN, SPEECH_FIELDS, InvalidJobError, JobSpec, TaskKind, normalize_job_spec

SPEECH = {"output_name": "topic/beat-001", "voice": "newsroom", "text": "First line"}
SLEEP = {"request_id": "s", "task": "sleep", "payload": {"seconds": 1}}


def mistakes(row: dict[str, Any], **rules: Any) -> dict[str, str]:
    """What is said about each field of a row that is refused."""
    with pytest.raises(InvalidJobError) as caught:
        normalize_job_spec(row, **rules)
    said = {problem.field: problem.message for problem in caught.value.problems}
    assert len(said) == len(caught.value.problems), "one field, one problem"
    return said


def test_a_bare_row_gets_every_default() -> None:
    """What is not said is decided in one place."""
    now = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    spec = normalize_job_spec(SPEECH, now=now)
    assert spec.request_id == "topic:beat-001"
    assert (spec.task, spec.priority, spec.backend, spec.on_conflict) == ("speak", "normal", None, "refuse")
    assert (spec.language, spec.variants, spec.select_best, spec.chunk) == ("English", 1, False, False)
    assert (spec.max_attempts, spec.timeout_seconds, spec.attempt) == (3, 600, 0)
    assert (spec.payload, spec.callback_data, spec.callback_url) == ({}, {}, None)
    assert spec.queued_at == now.replace(microsecond=678_000)
    assert spec.content_hash.startswith("sha256:v1:")


def test_settings_are_the_default_of_attempts_and_a_row_overrides_them() -> None:
    """A later change of the setting does not change a job that was accepted."""
    assert normalize_job_spec(SPEECH, max_attempts=7).max_attempts == 7
    spec = normalize_job_spec({**SPEECH, "max_attempts": 3}, max_attempts=7)
    assert JobSpec.from_json(spec.to_json()).max_attempts == 3


def test_a_task_gives_its_own_timeout() -> None:
    """Unless the job says another."""
    assert normalize_job_spec(SLEEP).timeout_seconds == 86_400
    assert normalize_job_spec({**SLEEP, "timeout_seconds": 0.5}).timeout_seconds == 0.5


def test_an_alias_names_the_same_task() -> None:
    """Old manifests say tasks.sleep_task; it is one job with the same hash."""
    alias = normalize_job_spec({**SLEEP, "task": "tasks.sleep_task"})
    assert alias.task == "sleep"
    assert alias.content_hash == normalize_job_spec(SLEEP).content_hash


def test_a_null_is_the_same_as_nothing() -> None:
    """`voice: null` next to `speaker` works."""
    spec = normalize_job_spec({**SPEECH, "voice": None, "speaker": "Ryan", "profile": None})
    assert (spec.voice, spec.speaker, spec.profile) == (None, "Ryan", None)


def test_text_is_kept_verbatim() -> None:
    """Spaces, breaks and emoji are the speaker's business."""
    text = "  First\n\nline\t🎙️ "
    assert normalize_job_spec({**SPEECH, "text": text}).text == text


@pytest.mark.parametrize("word", ["yes", "Yes", "on", "true", "TRUE", "1", 1, True])
def test_every_way_to_say_yes(word: Any) -> None:
    """People and programs write booleans in many ways."""
    assert normalize_job_spec({**SPEECH, "chunk": word}).chunk is True


@pytest.mark.parametrize("word", ["no", "off", "false", "0", 0, False])
def test_every_way_to_say_no(word: Any) -> None:
    """The same for no."""
    assert normalize_job_spec({**SPEECH, "chunk": word}).chunk is False


@pytest.mark.parametrize(
    ("given", "name"),
    [(0, "high"), (2, "high"), (3, "normal"), (6, "normal"), (7, "low"), (9, "low"), ("high", "high"), ("low", "low")],
)
def test_priorities_by_number_and_name(given: Any, name: str) -> None:
    """Ten numbers, three classes."""
    assert normalize_job_spec({**SPEECH, "priority": given}).priority == name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2030-01-31T18:00:00Z", "2030-01-31T18:00:00.000Z"),
        ("2030-01-31T18:00:00.123999+02:00", "2030-01-31T16:00:00.123Z"),
        ("2030-01-31 18:00+05:30", "2030-01-31T12:30:00.000Z"),
    ],
)
def test_times_become_utc_with_milliseconds(written: str, meant: str) -> None:
    """Any offset is read; one form leaves."""
    spec = normalize_job_spec({**SPEECH, "deadline": written})
    assert f'"deadline":"{meant}"'.encode() in spec.to_json()


# Each row: a field, a value that is wrong, and words that the answer must hold.
WRONG: list[tuple[str, Any, str]] = [
    ("request_id", "  ", "blank"),
    ("request_id", "a\nb", "control character"),
    ("request_id", "x" * 513, "513 bytes"),
    ("request_id", "é" * 300, "600 bytes"),
    ("request_id", 7, "put it in quotes"),
    ("task", "sleap", "did you mean 'sleep'?"),
    ("task", "zzzzzz", "known tasks: speak, debug, sleep"),
    ("task", 3, "no known task"),
    ("task", "s" * 100_000, "no known task"),
    ("priority", 10, "0 to 9"),
    ("priority", -1, "0 to 9"),
    ("priority", True, "high, normal, low"),
    ("priority", "urgent", "high, normal, low"),
    ("priority", 1.5, "0 to 9"),
    ("backend", "gpu", "'metal', 'cloud' or 'vast'"),
    ("deadline", "2030-01-31", "no timezone"),
    ("deadline", "2030-01-31T18:00:00", "add Z"),
    ("deadline", "tomorrow", "2026-01-31T18:00:00Z"),
    ("deadline", 1_900_000_000, "2026-01-31T18:00:00Z"),
    ("run_after", "0001-01-01T00:00:00+10:00", "years 1 to 9999"),
    ("queued_at", "9999-12-31T23:59:59-10:00", "years 1 to 9999"),
    ("max_attempts", 0, "at least 1"),
    ("max_attempts", 10**5000, "at most"),
    ("timeout_seconds", 0, "more than 0"),
    ("timeout_seconds", float("inf"), "finite"),
    ("conflict_key", "", "blank"),
    ("on_conflict", "fight", "'refuse' or 'queue'"),
    ("callback_data", ["a"], "mapping"),
    ("callback_data", "x", "mapping"),
    ("ttl_seconds", 0, "at least 1"),
    ("ttl_seconds", 1.5, "whole number"),
    ("attempt", -1, "at least 0"),
    ("content_hash", "sha256:v1:00", "leave it out"),
    ("voice", "News Room", "small letters"),
    ("voice", "-news", "small letters"),
    ("voice", "news\n", "small letters"),
    ("voice", "n" * 65, "small letters"),
    ("text", " \n", "blank"),
    ("text", 42, "put it in quotes"),
    ("text", "a\ud800b", "lone surrogate (U+D800)"),
    ("language", "", "blank"),
    ("profile", "wild", "'stable', 'balanced' or 'expressive'"),
    ("variants", 1.9, "whole number such as 3, not 1.9"),
    ("variants", 2.0, "whole number"),
    ("variants", "3", "whole number"),
    ("variants", True, "whole number"),
    ("variants", 0, "at least 1"),
    ("select_best", "perhaps", "true or false"),
    ("select_best", 2, "true or false"),
    ("temperature", -0.1, "at least 0"),
    ("temperature", float("nan"), "finite"),
    ("temperature", "warm", "number"),
    ("top_p", 0, "more than 0"),
    ("top_p", 1.01, "at most 1"),
    ("repetition_penalty", 0.0, "more than 0"),
    ("max_new_tokens", 0, "at least 1"),
    ("instruct", "slowly", "with a voice use tone"),
    ("payload", {"a": 1}, "does not belong to task speak"),
    ("callback_url", "https://example.com/", "CALLBACK_ALLOWED_HOSTS"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG, ids=[f"{f}-{n}" for n, (f, _, _) in enumerate(WRONG)])
def test_a_wrong_value_is_named_with_its_mend(field: str, value: Any, words: str) -> None:
    """One mistake, one line, at the field that is wrong."""
    said = mistakes({**SPEECH, field: value})
    assert set(said) == {field}
    assert words in said[field]
    assert len(said[field]) < 200


def test_all_mistakes_of_a_row_are_told_at_once() -> None:
    """Nobody mends a file one error at a time."""
    said = mistakes(
        {
            "output_name": "/abs",
            "text": " ",
            "variants": 1.9,
            "priority": 11,
            "voise": "x",
            "deadline": "soon",
            "callback_data": {"a": [float("nan")], "b": {1: 2}},
            "callback_url": "x",
        }
    )
    assert set(said) == {
        "output_name",
        "text",
        "variants",
        "priority",
        "voise",
        "deadline",
        "callback_data.a[0]",
        "callback_data.b",
        "callback_url",
    }
    assert "did you mean 'voice'?" in said["voise"]


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    """A misspelt field must never be ignored in silence."""
    assert "did you mean 'timeout_seconds'?" in mistakes({**SPEECH, "timeout": 5})["timeout"]
    assert "remove it" in mistakes({**SPEECH, "zzz": None})["zzz"]
    assert mistakes({**SPEECH, 7: 1})["7"]  # type: ignore[dict-item]  # a row from elsewhere may hold any key
    assert len(next(iter(mistakes({**SPEECH, "k" * 100_000: 1})))) <= 80


def test_a_row_that_is_wrong_all_over_is_told_in_few_words() -> None:
    """Fifty thousand strange fields are not fifty thousand lines, nor as many searches for near names."""
    said = mistakes({**SPEECH, **{f"f{at}": 1 for at in range(50_000)}})
    assert len(said) == 21
    assert "49980 more unknown fields" in said[""]
    assert len(mistakes({**SPEECH, "callback_data": {"a": [float("nan")] * 50_000}})) == 20


def test_exactly_one_of_voice_and_speaker() -> None:
    """Both and neither are mistakes, each with its own mend."""
    assert "voice: null" in mistakes({**SPEECH, "speaker": "Ryan"})["voice"]
    assert "is missing" in mistakes({"output_name": "a", "text": "b"})["voice"]


def test_tone_goes_with_voice_and_instruct_with_speaker() -> None:
    """Each kind of voice is directed in its own way."""
    speaker = {"output_name": "a", "text": "b", "speaker": "Ryan"}
    assert normalize_job_spec({**SPEECH, "tone": "calm"}).tone == "calm"
    assert normalize_job_spec({**speaker, "instruct": "calmly"}).instruct == "calmly"
    assert "use instruct" in mistakes({**speaker, "tone": "calm"})["tone"]
    both = {**speaker, "instruct": "calmly", "instruct_style": "whisper"}
    assert "excludes instruct" in mistakes(both)["instruct_style"]


def test_a_job_needs_a_name() -> None:
    """request_id, or an output_name to make it of; a bad output_name is said once."""
    assert "output_name" in mistakes({"voice": "v", "text": "t"})["request_id"]
    assert set(mistakes({"voice": "v", "text": "t", "output_name": "../x"})) == {"output_name"}
    assert set(mistakes({"voice": "v", "text": "t", "output_name": 5})) == {"output_name"}


@pytest.mark.parametrize("field", SPEECH_FIELDS)
def test_a_speech_field_belongs_to_speak_alone(field: str) -> None:
    """Ignored on another task, it would let somebody believe that it had an effect."""
    assert mistakes({**SLEEP, field: "x"}) == {field: "belongs to task speak; task sleep takes a payload"}


def test_a_payload_is_checked_by_its_task() -> None:
    """Before anything is queued, with the place inside the payload."""
    assert "is missing" in mistakes({**SLEEP, "payload": {}})["payload.seconds"]
    assert "at least 0" in mistakes({**SLEEP, "payload": {"seconds": -1}})["payload.seconds"]
    assert "no number" in mistakes({**SLEEP, "payload": {"seconds": float("nan")}})["payload.seconds"]
    assert "mapping" in mistakes({**SLEEP, "payload": [1]})["payload"]
    debug = {"request_id": "d", "task": "debug", "payload": {"mesage": "x"}}
    assert "did you mean 'message'?" in mistakes(debug)["payload.mesage"]


def test_a_payload_default_changes_no_hash() -> None:
    """Neither does writing a whole number as 1.0."""
    one = normalize_job_spec({**SLEEP, "payload": {"seconds": 1.0}})
    assert one.content_hash == normalize_job_spec(SLEEP).content_hash
    bare = normalize_job_spec({"request_id": "d", "task": "debug"})
    full = normalize_job_spec({"request_id": "d", "task": "debug", "payload": {"message": ""}})
    assert bare.content_hash == full.content_hash


class _Greeting(BaseModel):
    model_config = ConfigDict(extra="forbid")

    whom: str
    times: int = 1


def test_a_task_of_ones_own_is_validated_like_a_built_in_one() -> None:
    """The extension point: one kind more, and the same checks."""
    catalogue = BUILT_IN.with_kinds(TaskKind("greet", ("hello",), "any", _Greeting, 5, "inline", ("whom",)))
    row = {"request_id": "g", "task": "hello", "payload": {"whom": "you"}}
    spec = normalize_job_spec(row, catalogue=catalogue)
    assert (spec.task, spec.payload, spec.timeout_seconds) == ("greet", {"whom": "you"}, 5)
    assert "did you mean 'whom'?" in mistakes({**row, "payload": {"whim": "x"}}, catalogue=catalogue)["payload.whim"]
    assert "no known task" in mistakes(row)["task"]


def test_callbacks_go_only_to_hosts_that_are_allowed() -> None:
    """A job file must not make the watcher call whom it likes."""
    hosts = frozenset({"example.com", "example.com:8443"})
    allowed = normalize_job_spec({**SPEECH, "callback_url": "https://example.com:8443/done?x=1"}, callback_hosts=hosts)
    assert allowed.callback_url == "https://example.com:8443/done?x=1"
    for url, words in {
        "https://evil.com/": "not allowed",
        "https://example.com.evil.com/": "not allowed",
        "https://example.com@evil.com/": "user name",
        "https://me:secret@example.com/": "password",
        "ftp://example.com/": "http or https",
        "file:///etc/passwd": "http or https",
        "https:///x": "http or https",
        "https://[::1": "no URL",
        "https://example.com:99999/": "no URL",
        "https://example.com:444/": "add 'example.com:444' to",
        "https://example.com/a b": "http or https",
        "https://example.com/\r\nX: y": "http or https",
    }.items():
        said = mistakes({**SPEECH, "callback_url": url}, callback_hosts=hosts)["callback_url"]
        assert words in said, url
        assert "secret" not in said.replace("CALLBACK_SECRET", "")


def test_a_job_over_the_limit_is_refused_by_its_size_as_json() -> None:
    """Whatever makes it large: text, callback data or a payload."""
    just = 10_000 - len(normalize_job_spec({**SPEECH, "text": "x"}).to_json()) + 1
    normalize_job_spec({**SPEECH, "text": "x" * just}, max_job_bytes=10_000)
    assert "10001 bytes" in mistakes({**SPEECH, "text": "x" * (just + 1)}, max_job_bytes=10_000)[""]
    assert "JOBS_MAX_JOB_BYTES" in mistakes({**SPEECH, "text": "音" * 100_000})[""]
    assert "JOBS_MAX_JOB_BYTES" in mistakes({**SPEECH, "text": "\x01" * 50_000})[""]
    assert "bytes" in mistakes({**SPEECH, "callback_data": {"a": "x" * 300_000}})[""]


def test_callback_data_comes_back_untouched() -> None:
    """Order, empty lists, nulls and floats included."""
    data: dict[str, Any] = {"z": [], "a": {}, "n": None, "f": 1.0, "i": 2**53 - 1, "t": "\u2028\U0001f600"}
    back = JobSpec.from_json(normalize_job_spec({**SPEECH, "callback_data": data}).to_json()).callback_data
    assert back == data
    assert list(back) == list(data)
    assert type(back["f"]) is float
