"""The engine of the cloud: who speaks for whom, what it obeys, and sound that is checked as any other's."""

from __future__ import annotations

import json
import re
import wave
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lib.capabilities.speech import WarmEngines
from lib.capabilities.speech_model import usual_seconds
from lib.errors import AnswerError, PermanentError, QuotaError, TemporaryError
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.gemini import LIKE_SPEAKERS, GeminiEngine
from lib.voice_synth.engines.registry import ENGINES, make_engine
from lib.voice_synth.languages import WELL_KNOWN
from lib.voice_synth.request import LanguageError, SpeechRequest, prepare
from lib.voice_synth.takes import Speaking
from lib.voice_synth.voices import SPEAKERS, STAND_INS, UnknownVoiceError, VoiceRegistry
from tests.lib.voice_synth.kept_clips import ClipsInMemory
from tests.support.checkout import HOUSE
from tests.support.scripted_speech import RATE, Blocking, ScriptedSpeech, hum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lib.voice_synth.takes import Report

TEXT = "The quick brown fox jumps over the lazy dog."


def engine(speech: ScriptedSpeech | None = None) -> GeminiEngine:
    """One that speaks by this."""
    return GeminiEngine(Blocking(speech or ScriptedSpeech()))


def request(**given: object) -> SpeechRequest:
    """Of the cloud."""
    return SpeechRequest(**{"text": TEXT, "speaker": "Ryan", "engine": "gemini", **given})  # type: ignore[arg-type]  # each test names the fields it means


def spoken(directory: Path, asked: SpeechRequest, speech: ScriptedSpeech, clips: ClipsInMemory | None = None) -> Report:
    """The files of one request."""
    made = engine(speech)
    directory.mkdir(exist_ok=True)
    speaking = Speaking(asked, WarmEngines(lambda _: made), directory, clips=clips)
    for _ in speaking.steps():
        pass
    return speaking.report()


def settings(**given: str) -> SynthesisSettings:
    """With these words about how to speak."""
    return SynthesisSettings(EngineVoice("Leda"), "English", 0, **given)  # type: ignore[arg-type]  # words alone


def test_every_listed_speaker_has_a_voice_of_its_own_there() -> None:
    """Nine for nine, none twice."""
    assert tuple(LIKE_SPEAKERS) == SPEAKERS
    assert len(set(LIKE_SPEAKERS.values())) == 9
    assert {name: voice.name for name, voice in STAND_INS["gemini"].items()} == dict(LIKE_SPEAKERS)
    assert {voice.speed for voice in STAND_INS["gemini"].values()} == {1.0}, "it cannot be told a pace"


def test_the_page_for_users_has_the_same_table() -> None:
    """Who speaks for whom, and in how many languages."""
    page = (HOUSE / "docs/how-to/speak-on-the-cloud.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| (\w+) \| (\w+) \|$", page, re.MULTILINE)) == dict(LIKE_SPEAKERS)
    plain = [name for name in GeminiEngine.languages if "(" not in name or "Burmese" in name]
    assert f"{len(plain)} of them, and three varieties" in page.replace("\n", " ")


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_what_speaks_for_a_speaker_is_said(speaker: str) -> None:
    """As a substitute, since it is another voice."""
    choice = VoiceRegistry().choose(engine(), voice=None, speaker=speaker, by_name=True)
    assert choice.substituted == {"asked": speaker, "used": LIKE_SPEAKERS[speaker], "engine": "gemini"}


def test_a_voice_of_ones_own_does_not_speak_there() -> None:
    """It lies on its owner's machines; nor does anybody who is not listed."""
    with pytest.raises(PermanentError, match="newsroom has no sound on the engine gemini"):
        prepare(request(speaker=None, voice="newsroom"), engine(), VoiceRegistry())
    with pytest.raises(UnknownVoiceError):
        prepare(request(speaker="Zephyr"), engine(), VoiceRegistry())


def test_words_are_obeyed_and_numbers_are_not() -> None:
    """What it ignores is reported, as of any engine."""
    asked = request(instruct="Whisper.", temperature=0.3, top_p=0.5, profile="stable", max_new_tokens=9)
    prepared = prepare(asked, engine(), VoiceRegistry())
    assert prepared.ignored_fields == ("profile", "temperature", "top_p", "max_new_tokens")


@pytest.mark.parametrize(
    ("given", "style"),
    [
        ({}, ""),
        ({"instruct": " Whisper. "}, "Whisper."),
        ({"instruct_style": "a newsreader"}, "Speak in the style of a newsreader."),
        ({"tone": "warm"}, "Speak in a tone that is warm."),
        ({"instruct": "Slowly.", "tone": "calm"}, "Slowly. Speak in a tone that is calm."),
    ],
)
def test_words_about_how_to_speak_go_as_a_style(given: dict[str, str], style: str) -> None:
    """With the voice by its own name."""
    speech = ScriptedSpeech()
    list(engine(speech).synthesise("Hello.", settings(**given)))
    assert speech.asked == [("Hello.", "Leda", style)]


def test_a_sentence_that_was_paid_for_is_not_paid_for_again(tmp_path: Path) -> None:
    """Of a text with one changed sentence one call is made; it samples, and its clips are as sound as any."""
    clips, speech = ClipsInMemory(), ScriptedSpeech()
    spoken(tmp_path / "a", request(text="It rained today. Nobody came.", chunk=True), speech, clips)
    speech.asked.clear()
    report = spoken(tmp_path / "b", request(text="It rained today. All stayed.", chunk=True), speech, clips)
    assert [text for text, *_ in speech.asked] == ["All stayed."]
    assert report.summary["sentences"] == {"at_hand": 1, "of": 2}


@pytest.mark.parametrize("language", ["English", "zh", "Japanese", "en-GB", "pt-BR", "sv", "my"])
def test_languages_go_by_names_and_codes(language: str) -> None:
    """As the rest of the program spells them."""
    assert prepare(request(language=language), engine(), VoiceRegistry()).settings.language in engine().languages


def test_almost_every_language_that_has_a_code_is_spoken() -> None:
    """A job must not fail on the cloud that would not on metal; few could."""
    assert set(WELL_KNOWN) - set(GeminiEngine.languages) == {
        *("Bosnian", "Esperanto", "Kazakh", "Kurdish", "Kyrgyz", "Maltese", "Māori", "Tatar", "Uzbek", "Welsh")
    }
    with pytest.raises(LanguageError, match="gemini does not speak"):
        prepare(request(language="cy"), engine(), VoiceRegistry())


def test_a_variety_is_asked_for_in_words() -> None:
    """The text alone does not say it."""
    speech = ScriptedSpeech()
    list(
        engine(speech).synthesise("Hello.", replace(settings(instruct="Whisper."), language="English (Great Britain)"))
    )
    assert speech.asked == [("Hello.", "Leda", "Speak British English. Whisper.")]


def test_a_take_is_the_sound_of_the_service_bit_for_bit(tmp_path: Path) -> None:
    """16-bit samples pass through the checks unchanged; result.json says what spoke."""
    speech = ScriptedSpeech()
    report = spoken(tmp_path, request(), speech)
    with wave.open(str(tmp_path / "take_01.wav")) as opened:
        assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (RATE, 1, 2)
        assert opened.readframes(opened.getnframes()) == hum(TEXT)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["model"]["engine"] == "gemini"
    assert document["model"]["version"] == "scripted-tts"
    assert document["substituted_voice"] == {"asked": "Ryan", "used": "Fenrir", "engine": "gemini"}
    assert report.summary["model"]["voice"] == "Fenrir"


def test_full_scale_is_kept(tmp_path: Path) -> None:
    """The lowest sample of 16 bits has no counterpart above; it is one step short."""
    speech = ScriptedSpeech(lambda text: array("h", [32_767, -32_768, 1, -1]).tobytes() + hum(text))
    spoken(tmp_path, request(), speech)
    with wave.open(str(tmp_path / "take_01.wav")) as opened:
        assert array("h", opened.readframes(4)).tolist() == [32_767, -32_767, 1, -1]


def test_variants_are_ranked_as_any_others(tmp_path: Path) -> None:
    """One call each."""
    speech = ScriptedSpeech()
    report = spoken(tmp_path, request(variants=3, select_best=True, language="German"), speech)
    assert len(speech.asked) == 3
    assert (tmp_path / "best.wav").exists()
    assert report.document["selection"]["enabled"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (lambda text: bytes(len(hum(text))), "silent"),
        (lambda text: b"\xff\x7f" * (len(hum(text)) // 2), "clipped"),
        (lambda text: hum(text)[:8_000], "cut short"),
        (lambda _: b"", "no sound"),
    ],
    ids=["silent", "clipped", "short", "empty"],
)
def test_sound_that_nobody_could_listen_to_is_no_take(
    script: Callable[[str], bytes], words: str, tmp_path: Path
) -> None:
    """Temporary: it samples anew. No half take is left."""
    with pytest.raises(TemporaryError, match=words):
        spoken(tmp_path, request(), ScriptedSpeech(script))
    assert not list(tmp_path.glob("*.wav"))


def test_half_a_sample_and_another_rate_are_refused() -> None:
    """Neither can be made sound of at the rate that the file says."""
    with pytest.raises(AnswerError, match="half a sample"):
        list(engine(ScriptedSpeech(lambda _: b"abc")).synthesise("Hello.", settings()))
    with pytest.raises(PermanentError, match="8000 samples a second"):
        list(engine(ScriptedSpeech(rate=8_000)).synthesise("Hello.", settings()))


def test_a_quota_in_the_middle_is_a_quota(tmp_path: Path) -> None:
    """What the call raised, by its type; nothing half-made is left."""

    def once(text: str) -> bytes:
        if len(speech.asked) > 1:
            raise QuotaError("used up", delay_seconds=9)
        return hum(text)

    speech = ScriptedSpeech(once)
    with pytest.raises(QuotaError):
        spoken(tmp_path, request(variants=2), speech)
    assert [path.name for path in tmp_path.iterdir()] == ["take_01.wav"]


def test_a_long_text_is_cut_between_sentences_and_joined() -> None:
    """No word is lost, and few calls are made, none longer than two minutes of speech."""
    speech = ScriptedSpeech(lambda _: bytes(2))
    text = "This is a sentence of some length that goes on, and on, for a while. " * 80
    pieces = list(engine(speech).synthesise(text, settings()))
    parts = [asked[0] for asked in speech.asked]
    assert " ".join(parts) == text.strip()
    assert all(usual_seconds(part) <= 120 and part.endswith(".") for part in parts)
    assert len(parts) == len(pieces) == 4


def test_a_long_text_without_white_space_is_cut_too() -> None:
    """Chinese and Japanese sentences have none between them, and a sign takes longer than a letter."""
    speech = ScriptedSpeech(lambda _: bytes(2))
    text = "\u592a\u9633\u51fa\u6765\u4e86\u3002" * 200
    list(engine(speech).synthesise(text, settings()))
    parts = [asked[0] for asked in speech.asked]
    assert "".join(parts).replace(" ", "") == text
    assert all(usual_seconds(part) <= 120 and part.endswith("\u3002") for part in parts)
    assert len(parts) == 3


def test_no_machine_has_it() -> None:
    """It is chosen by where a job runs, and can only be asked about elsewhere."""
    assert "gemini" not in ENGINES
    with pytest.raises(PermanentError, match="no speech engine is named 'gemini'") as caught:
        make_engine("gemini")
    assert "backend: cloud" in str(caught.value.hint)
    alone = GeminiEngine()
    assert alone.missing() == "a watcher of the cloud"
    with pytest.raises(PermanentError, match="a watcher of the cloud"):
        alone.load()
    assert engine().missing() is None
    assert (engine().model_version, engine().deterministic) == ("scripted-tts", False)
