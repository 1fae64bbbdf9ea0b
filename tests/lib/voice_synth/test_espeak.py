"""espeak-ng speaks other languages for real; text stays out of its arguments, and a deadline stands over it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.engines import espeak
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.espeak import EspeakEngine

PLAIN = EngineVoice("plain")


@pytest.fixture
def engine() -> EspeakEngine:
    """The real program; skipped on a laptop without it, missed where everything must be."""
    if shutil.which("espeak-ng") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("espeak-ng is not installed")
        pytest.skip("espeak-ng is not installed")
    return EspeakEngine()


def spoken(engine: EspeakEngine, text: str, language: str = "English", voice: EngineVoice = PLAIN) -> bytes:
    """All samples."""
    return b"".join(piece.tobytes() for piece in engine.synthesise(text, SynthesisSettings(voice, language, 0)))


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> EspeakEngine:
    """An engine that finds a program of the test's own under the name."""
    own = tmp_path / "bin" / "espeak-ng"
    own.parent.mkdir()
    own.write_text(f"#!/bin/sh\n{script}")
    own.chmod(own.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")
    return EspeakEngine()


def children() -> set[str]:
    """Every process that this one has started and that lives."""
    return {pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}


LISTING = (
    "case $1 in --voices) printf 'Pty Language\\n 5  fr-fr  --/M  French_(France)  roa/fr  (fr 5)\\n'; exit;; esac\n"
)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("French", "Bonjour le monde, comment allez-vous ?"),
        ("German", "Guten Tag, wie geht es Ihnen heute?"),
        (
            "Russian",
            "\u0414\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c \u0434\u0440\u0443\u0433",
        ),
        ("Hindi", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e"),
        ("Chinese", "\u4f60\u597d\u4e16\u754c"),
    ],
)
def test_it_speaks_other_languages(engine: EspeakEngine, language: str, text: str) -> None:
    """Each is sound of a sensible length and level, the same every time, and read by that language's rules."""
    engine.check_text(text, PLAIN, language)
    pieces = list(engine.synthesise(text, SynthesisSettings(PLAIN, language, 0)))
    samples = np.concatenate(pieces)
    assert samples.dtype == np.float32
    assert 0.5 < len(samples) / engine.sample_rate_of(PLAIN) < 10
    assert 0.1 < np.abs(samples).max() <= 1.0
    assert spoken(engine, text, language) == samples.tobytes()
    assert spoken(engine, text, "Italian") != samples.tobytes()


def test_languages_have_english_names(engine: EspeakEngine) -> None:
    """Plain names for languages, names in brackets for their varieties, a version for the cache key."""
    wanted = {"English", "French", "German", "Spanish", "Portuguese", "Russian", "Japanese", "Greek", "Norwegian"}
    assert wanted <= set(engine.languages)
    assert {"English (Great Britain)", "French (Belgium)", "Portuguese (Brazil)"} <= set(engine.languages)
    assert engine.model_version.removeprefix("espeak-ng-")[0].isdigit()
    assert engine.languages_of(PLAIN) == engine.languages


def test_timbre_and_pace(engine: EspeakEngine) -> None:
    """A variant is another sound, a factor another length; a timbre that it lacks is refused, not replaced."""
    usual = spoken(engine, "Good morning to you.")
    assert spoken(engine, "Good morning to you.", voice=EngineVoice("f2")) != usual
    assert len(spoken(engine, "Good morning to you.", voice=EngineVoice("plain", 1.5))) < len(usual)
    assert len(spoken(engine, "Good morning to you.", voice=EngineVoice("plain", 0.1))) > len(usual)
    with pytest.raises(PermanentError, match="no voice 'heart'"):
        engine.load_voice(EngineVoice("heart"))


def test_text_is_text(engine: EspeakEngine) -> None:
    """Flags, phonemes in brackets, a NUL in the middle: all of it is read as words."""
    assert len(spoken(engine, "--version")) > 20_000
    assert spoken(engine, "[[h@l'oU]]") == spoken(engine, "[ [h@l'oU]]")
    assert spoken(engine, "one\x00two") == spoken(engine, "one two")
    assert spoken(engine, "$(touch nothing); `id` | 'x' \\ \"y\"")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("English", "\u041f\u0440\u0438\u0432\u0435\u0442"),
        ("French", "\u4f60\u597d"),
        ("Japanese", "\u65e5\u672c"),
        ("Russian", "\u4f60\u597d"),
    ],
)
def test_letters_that_it_would_only_name_are_refused(language: str, text: str) -> None:
    """`Chinese letter, Chinese letter` is no reading of a text."""
    with pytest.raises(PermanentError, match="cannot read"):
        EspeakEngine().check_text(text, PLAIN, language)


def test_an_abandoned_take_leaves_no_child(engine: EspeakEngine) -> None:
    """Whoever stops listening in mid-sentence ends the program too."""
    before = children()
    pieces = engine.synthesise("a very long walk " * 2000, SynthesisSettings(PLAIN, "English", 0))
    next(pieces)
    assert len(children() - before) == 1
    pieces.close()  # type: ignore[attr-defined]  # a generator
    assert children() == before


def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its deadline it is killed, and the error is one that another try may cure."""
    monkeypatch.setattr(espeak, "_LEAST_SECONDS", 0.2)
    engine = program(tmp_path, monkeypatch, LISTING + "exec sleep 60\n")
    with pytest.raises(TemporaryError, match="did not end"):
        spoken(engine, "Bonjour.", "French")


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("cat > /dev/null; echo 'no such voice' >&2; exit 3\n", PermanentError, "no such voice"),
        ("kill -9 $$\n", TemporaryError, "ended with -9"),
        ("cat > /dev/null; head -c 100 /dev/zero\n", PermanentError, "unknown form"),
    ],
)
def test_a_program_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[Exception], said: str
) -> None:
    """What it complained of is in the error; a killed one is tried again."""
    engine = program(tmp_path, monkeypatch, LISTING + script)
    with pytest.raises(kind, match=said):
        spoken(engine, "Bonjour. " * 20_000, "French")


def test_its_version_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm child asks for it with every job, and each answer is a process; a program that comes later is seen."""
    engine = program(tmp_path, monkeypatch, f"echo $1 >> {tmp_path}/asked; echo 'eSpeak NG text-to-speech: 1.99  D'\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    own, away = tmp_path / "bin" / "espeak-ng", tmp_path / "away"
    own.rename(away)
    assert engine.model_version == "espeak-ng-missing"
    away.rename(own)
    assert [engine.model_version for _ in range(3)] == ["espeak-ng-1.99"] * 3
    assert (tmp_path / "asked").read_text() == "--version\n"


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that describes it can still be asked; its languages are those that it would surely have."""
    monkeypatch.setenv("PATH", "/nowhere")
    engine = EspeakEngine()
    assert engine.missing() == "the program espeak-ng"
    assert "apt-get install espeak-ng" in engine.remedy()
    assert (engine.languages, engine.model_version) == ((), "espeak-ng-missing")
    assert {"French", "German"} <= set(engine.languages_of(PLAIN))
    with pytest.raises(PermanentError, match="not installed"):
        engine.load()
