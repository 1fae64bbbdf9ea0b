"""What a job asks for, what an engine makes of it, and what it asked for in vain."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from lib.errors import PermanentError
from lib.jobqueue import SPEECH_FIELDS, normalize_job_spec
from lib.voice_synth.engines.hibari import HibariEngine
from lib.voice_synth.request import PROFILES, SpeechRequest, prepare, request_of_job
from lib.voice_synth.voices import VoiceRegistry
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

HIBARI = HibariEngine()
VOICES = VoiceRegistry()


def request(**given: Any) -> SpeechRequest:
    """A request for the built-in voice."""
    return SpeechRequest(**{"text": "Good evening.", "voice": "newsroom", **given})


def test_no_speech_field_of_a_job_is_lost() -> None:
    """Every speech field that a job has reaches the request under its own name."""
    names = {field.name for field in fields(SpeechRequest)}
    assert set(SPEECH_FIELDS) <= names
    given = {
        "speaker": "Ryan",
        "text": " Kept\n verbatim ",
        "language": "English",
        "instruct": "calmly",
        "profile": "expressive",
        "variants": 3,
        "select_best": True,
        "chunk": True,
        "temperature": 0.5,
        "top_p": 0.6,
        "repetition_penalty": 1.2,
        "max_new_tokens": 77,
    }
    made = request_of_job(normalize_job_spec({"output_name": "t/b", **given}), seed=5, engine="hibari")
    assert {name: getattr(made, name) for name in given} == given
    assert (made.seed, made.engine) == (5, "hibari")


def test_a_job_without_text_is_no_speech() -> None:
    """A job of another task is refused instead of spoken as nothing."""
    with pytest.raises(PermanentError, match="no text"):
        request_of_job(normalize_job_spec({"request_id": "d", "task": "debug"}))


def test_hibari_says_what_it_ignores() -> None:
    """Every shaping field that the job set stands in ignored_fields; those it left alone do not."""
    asked = request(profile="stable", tone="warm", temperature=0.3, top_p=0.9, repetition_penalty=1.1, max_new_tokens=9)
    assert prepare(asked, HIBARI, VOICES).ignored_fields == (
        "tone",
        "profile",
        "temperature",
        "top_p",
        "repetition_penalty",
        "max_new_tokens",
    )
    assert prepare(request(variants=4, chunk=True, select_best=True), HIBARI, VOICES).ignored_fields == ()


def test_what_an_engine_obeys_is_not_ignored() -> None:
    """Only fields outside the engine's controls are reported."""
    asked = SpeechRequest(text="Hello.", speaker="Ryan", profile="stable", temperature=0.3, instruct="softly")
    assert prepare(asked, ScriptedEngine(), VOICES).ignored_fields == ("instruct",)


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_are_those_of_the_contract(profile: str) -> None:
    """Each profile sets its three values, and a value given by hand wins over it."""
    values = {"stable": (0.45, 0.78, 1.12), "balanced": (0.70, 0.90, 1.05), "expressive": (0.92, 0.96, 1.00)}
    asked = SpeechRequest(text="Hello.", speaker="Ryan", profile=profile)
    settings = prepare(asked, ScriptedEngine(), VOICES).settings
    assert (settings.temperature, settings.top_p, settings.repetition_penalty) == values[profile]
    by_hand = SpeechRequest(text="Hello.", speaker="Ryan", profile=profile, temperature=0.0, top_p=0.5)
    settings = prepare(by_hand, ScriptedEngine(), VOICES).settings
    assert (settings.temperature, settings.top_p, settings.repetition_penalty) == (0.0, 0.5, values[profile][2])


def test_without_a_profile_it_is_balanced() -> None:
    """A job that names none gets the balanced values."""
    settings = prepare(SpeechRequest(text="Hello.", speaker="Ryan"), ScriptedEngine(), VOICES).settings
    assert settings.temperature == PROFILES["balanced"].temperature


def test_variant_i_uses_seed_plus_i() -> None:
    """The seeds of the takes follow each other, all else is the same."""
    prepared = prepare(request(seed=40), HIBARI, VOICES)
    assert [prepared.settings_of(variant).seed for variant in range(3)] == [40, 41, 42]
    assert prepared.settings_of(0) == prepared.settings


@pytest.mark.parametrize("language", ["English", "english", " ENGLISH ", "en", "en-US", "en_us"])
def test_languages_are_known_by_name_and_code(language: str) -> None:
    """However it is written, the engine is told its own name for it."""
    assert prepare(request(language=language), HIBARI, VOICES).settings.language == "English"


@pytest.mark.parametrize("language", ["German", "French", "en-GB", "Klingon", "zh"])
def test_a_language_it_lacks_is_permanent(language: str) -> None:
    """The error names the engine, the language, and what it does speak."""
    with pytest.raises(PermanentError, match=f"hibari does not speak '{language}'") as caught:
        prepare(request(language=language), HIBARI, VOICES)
    assert "English" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["...", " - ", "?!", "\u2014 \u2026", "\U0001f642"])
def test_nothing_to_say_is_permanent(text: str) -> None:
    """Punctuation and pictures alone are refused before anything is loaded."""
    with pytest.raises(PermanentError, match="nothing that can be spoken"):
        prepare(request(text=text), HIBARI, VOICES)


@pytest.mark.parametrize("text", ["7", "$", "50 %", "a", "&"])
def test_signs_that_are_read_as_words_are_text(text: str) -> None:
    """A price sign or a lone digit can be spoken."""
    assert prepare(request(text=text), HIBARI, VOICES).settings.voice.name == "heart"


def test_the_request_as_json_leaves_out_what_was_not_said() -> None:
    """result.json shows the fields that mean something."""
    assert request(variants=2).as_json() == {
        "text": "Good evening.",
        "voice": "newsroom",
        "language": "English",
        "variants": 2,
        "select_best": False,
        "chunk": False,
        "seed": 0,
    }
