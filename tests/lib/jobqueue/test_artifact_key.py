"""Two jobs have one key exactly when they would be given the same files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue import InvalidJobError, JobSpec, normalize_job_spec
from lib.jobqueue.artifact_key import PREFIX, artifact_key, content_parts, differing, is_hex

HIBARI: dict[str, Any] = {
    "engine": "hibari",
    "version": "hibari-tts-0.2.1",
    "voice": "heart",
    "speed": 1.0,
    "voice_digest": "sha256:00",
    "sample_rate": 24_000,
    "seed": 0,
}


def job(**given_fields: Any) -> JobSpec:
    """A job of the built-in voice."""
    return normalize_job_spec({"request_id": "a", "voice": "newsroom", "text": "Good evening.", **given_fields})


def test_what_does_not_define_the_output_is_no_part_of_a_key() -> None:
    """Another name, place, time, priority, pin or callback data; and whether it may be taken from the cache at all."""
    plain = job()
    others: list[dict[str, Any]] = [
        {"request_id": "b", "output_name": "x/y"},
        {"priority": "high", "backend": "cloud", "deadline": "2030-01-01T00:00:00Z"},
        {"run_after": "2030-01-01T00:00:00Z", "max_attempts": 9, "timeout_seconds": 5, "ttl_seconds": 60},
        {"conflict_key": "k", "on_conflict": "queue", "callback_data": {"n": 1}},
        {"cache": False},
        {"cache": "no"},
        {"language": "English", "variants": 1, "chunk": False},
    ]
    for other in others:
        assert job(**other).content_hash == plain.content_hash, other
        assert artifact_key(job(**other).content_hash, HIBARI) == artifact_key(plain.content_hash, HIBARI)


def test_every_field_of_speech_is_a_part_of_a_key() -> None:
    """A changed word, and each of the fields that shape a voice."""
    hashes = {job().content_hash}
    for change in (
        {"text": "Good evening!"},
        {"tone": "warm"},
        {"language": "French"},
        {"profile": "stable"},
        {"variants": 2},
        {"variants": 2, "select_best": True},
        {"chunk": True},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"repetition_penalty": 1.5},
        {"max_new_tokens": 5},
    ):
        found = job(**change).content_hash
        assert found not in hashes, change
        hashes.add(found)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("engine", "piper"),
        ("version", "hibari-tts-0.2.2"),
        ("voice", "soul"),
        ("speed", 1.03),
        ("voice_digest", "sha256:01"),
        ("sample_rate", 22_050),
        ("seed", 1),
    ],
)
def test_every_part_of_what_speaks_is_a_part_of_a_key(part: str, other: object) -> None:
    """Another engine, version, voice, pace, digest, rate or seed is another key."""
    mine = artifact_key(job().content_hash, HIBARI)
    theirs = artifact_key(job().content_hash, {**HIBARI, part: other})
    assert mine.text != theirs.text
    assert differing(mine.made_by, theirs.made_by) == (part,)


def test_a_key_says_its_own_name() -> None:
    """A prefix with a version, and digits that are a file name; the order of the parts changes nothing."""
    key = artifact_key(job().content_hash, HIBARI)
    assert key.text == PREFIX + key.hex
    assert is_hex(key.hex)
    assert is_hex(key.content_hex)
    assert key == artifact_key(job().content_hash, dict(reversed(HIBARI.items())))
    with pytest.raises(TypeError):
        key.made_by["engine"] = "piper"  # type: ignore[index]  # it cannot be changed


def test_a_key_outlives_versions() -> None:
    """A key that was written down is the same in every later version: or the whole cache would be lost."""
    content = "sha256:v1:" + "0" * 64
    assert artifact_key(content, {}).text == (
        "sha256:a1:d3352237c3b581ea8c00bd054b620a31fc1354d16839554e4028a8197fe52142"
    )


@pytest.mark.parametrize("content", ["", "sha256:v1:", "sha256:v1:" + "g" * 64, "sha256:v2:" + "0" * 64, "0" * 64])
def test_no_key_of_what_is_no_hash(content: str) -> None:
    """A hash is the name of a directory: nothing else is taken for one."""
    with pytest.raises(ValueError, match="no content hash"):
        artifact_key(content, HIBARI)


@pytest.mark.parametrize("part", [None, True, [], {}, float("nan")])
def test_no_key_of_what_is_no_part(part: object) -> None:
    """Text and finite numbers alone; a number that JSON lacks has no one form."""
    with pytest.raises(ValueError):  # noqa: PT011 - two modules say it in words of their own
        artifact_key(job().content_hash, {"seed": part})


@given(st.text(alphabet="0123456789abcdefgG/. ", max_size=70))
def test_only_sixty_four_digits_are_hex(text: str) -> None:
    """So that what is taken for a digest can be a file's name, and lead nowhere else."""
    assert is_hex(text) == (len(text) == 64 and all(char in "0123456789abcdef" for char in text))


def test_parts_of_the_content_tell_fields_apart_and_keep_no_text() -> None:
    """One digest a field that is not left at its default, each key of a payload apart."""
    mine, theirs = content_parts(job(text="A secret.")), content_parts(job(text="Another.", profile="stable"))
    assert list(mine) == ["text", "voice"]
    assert "secret" not in str(mine)
    assert differing(mine, theirs) == ("profile", "text")
    nap = normalize_job_spec({"request_id": "n", "task": "debug", "payload": {"message": "hi"}})
    assert list(content_parts(nap)) == ["payload.message", "task"]
    assert differing({}, {}) == ()


def test_a_job_that_is_to_be_made_anew_is_the_same_job() -> None:
    """`cache` travels with the job and is left out where it is the default; it is no part of the identity."""
    plain, anew = job(), job(cache=False)
    assert b"cache" not in plain.to_json()
    assert b'"cache":false' in anew.to_json()
    assert JobSpec.from_json(anew.to_json()) == anew
    assert anew.content_hash == plain.content_hash


def test_cache_is_yes_or_no() -> None:
    """As any other switch: also in the words that files have for it."""
    assert [job(cache=word).cache for word in (True, "yes", "on", 1, "0", "off", 0)] == [True] * 4 + [False] * 3
    with pytest.raises(InvalidJobError, match="cache: must be true or false"):
        job(cache="maybe")
