"""The default engine: the same bytes everywhere, no network, flat memory, and no word skipped in silence."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.errors import PermanentError
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.hibari import HibariEngine
from lib.voice_synth.engines.long_words import cut_numbers, parts_of
from lib.voice_synth.engines.registry import DEFAULT_ENGINE, ENGINES, make_engine

ROOT = Path(__file__).parents[3]
HEART = EngineVoice("heart")
SETTINGS = SynthesisSettings(HEART, "English", seed=3)
TEXT = "The quick brown fox jumps over the lazy dog. It was not amused."

SPEAK_IN_A_NEW_PROCESS = """
import hashlib, json, pathlib, re, sys
import numpy as np
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.hibari import HibariEngine
engine = HibariEngine()
engine.load()
text, seed = json.loads(sys.argv[1])
pieces = engine.synthesise(text, SynthesisSettings(EngineVoice("heart"), "English", seed))
digest, samples = hashlib.sha256(), 0
for piece in pieces:
    digest.update(piece.tobytes())
    samples += len(piece)
# Not ru_maxrss: Linux carries the parent's over into a child.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps([digest.hexdigest(), samples, int(peak.group(1)) // 1024]))
"""


@pytest.fixture(scope="module")
def engine() -> HibariEngine:
    """One loaded engine for all tests here."""
    made = HibariEngine()
    made.load()
    return made


def digest(engine: HibariEngine, text: str, settings: SynthesisSettings = SETTINGS) -> str:
    """Of all samples."""
    return hashlib.sha256(b"".join(piece.tobytes() for piece in engine.synthesise(text, settings))).hexdigest()


def in_a_new_process(text: str, seed: int) -> tuple[str, int, int]:
    """Digest, number of samples and peak memory in MB of a process that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", SPEAK_IN_A_NEW_PROCESS, json.dumps([text, seed])],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    made, samples, megabytes = json.loads(done.stdout)
    return made, samples, megabytes


def test_the_same_job_gives_the_same_samples_in_every_process(engine: HibariEngine) -> None:
    """Twice here and once in a fresh process: bit for bit equal; another seed is another take."""
    here = digest(engine, TEXT)
    assert digest(engine, TEXT) == here
    there, _, _ = in_a_new_process(TEXT, SETTINGS.seed)
    assert there == here
    assert digest(engine, TEXT, SynthesisSettings(HEART, "English", seed=4)) != here


def test_what_was_spoken_before_changes_nothing(engine: HibariEngine) -> None:
    """A warm engine carries no state from one job into the next."""
    before = digest(engine, TEXT)
    digest(
        engine, "Something else entirely, at another pace.", SynthesisSettings(EngineVoice("heart", 1.2), "English", 9)
    )
    assert digest(engine, TEXT) == before


def test_one_piece_a_sentence(engine: HibariEngine) -> None:
    """Pieces come sentence by sentence, mono float32 at the rate it says."""
    pieces = list(engine.synthesise(TEXT, SETTINGS))
    assert len(pieces) == 2
    assert all(piece.dtype == np.float32 and piece.ndim == 1 for piece in pieces)
    assert 2 < sum(map(len, pieces)) / engine.sample_rate_of(HEART) < 8


def test_speed_is_obeyed(engine: HibariEngine) -> None:
    """A faster pace is shorter, about in proportion."""

    def seconds(speed: float) -> float:
        settings = SynthesisSettings(EngineVoice("heart", speed), "English", 0)
        return sum(map(len, engine.synthesise(TEXT, settings))) / engine.sample_rate_of(HEART)

    assert seconds(1.1) < seconds(1.0) < seconds(0.9)


def test_memory_stays_flat_without_any_punctuation() -> None:
    """Five hundred words in one breath need less than 400 MB; a single model run took a gigabyte."""
    _, samples, megabytes = in_a_new_process("the traveler walked on and on " * 100, 0)
    assert samples > 60 * 24_000
    assert megabytes < 400


def test_loading_and_speaking_open_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled voice needs no network, and nothing here ever asks for one."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = HibariEngine()
    fresh.load()
    assert len(digest(fresh, "Hello.")) == 64


def test_loading_twice_loads_once(engine: HibariEngine) -> None:
    """The model in memory stays the one that was loaded."""
    model = engine._model
    engine.load()
    assert engine._model is model


def test_speaking_before_loading_is_a_mistake() -> None:
    """It says so instead of loading in secret, which would hide the time it takes."""
    with pytest.raises(RuntimeError, match="before load"):
        next(HibariEngine().synthesise("Hi.", SETTINGS))


@pytest.mark.parametrize(
    "text",
    [
        "\u4f60\u597d",
        "Say \u65e5\u672c now",
        "\u041f\u0440\u0438\u0432\u0435\u0442",
        "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1",
        "\ud55c\uad6d\uc5b4",
        "\u0639\u0631\u0628\u064a",
    ],
)
def test_words_that_it_would_skip_are_refused(text: str) -> None:
    """Chinese, Japanese, Russian, Greek, Korean, Arabic: refused, with the letters shown, before loading."""
    with pytest.raises(PermanentError, match="would skip"):
        HibariEngine().check_text(text, HEART, "English")


@pytest.mark.parametrize(
    "text",
    [
        "Caf\u00e9 na\u00efve",
        "the angle \u03b1 is small",
        "5 \u00b5m",
        "1\u00aa vez",
        "r\u00f6st, \u0141\u00f3d\u017a",
        "",
    ],
)
def test_latin_text_with_marks_and_single_symbols_is_read(text: str) -> None:
    """Accents, a Greek symbol, the micro sign and ordinals are part of ordinary English text."""
    HibariEngine().check_text(text, HEART, "English")


def test_markdown_links_are_words_not_phonemes(engine: HibariEngine) -> None:
    """`[docs](/home/)` is read, not taken as hibari's own notation for a pronunciation."""
    assert digest(engine, "[docs](/\u02c8/)") == digest(engine, "[docs] (/\u02c8/)")


@pytest.mark.parametrize("text", ["a" * 3000, "\x00\x01", "\u200b", "[](//)", "1" * 400, "\u0301" * 50, "((((", "\t"])
def test_odd_text_never_crashes_it(engine: HibariEngine, text: str) -> None:
    """Whatever the text, it gives pieces, no pieces, or one of our errors."""
    try:
        for piece in engine.synthesise(text, SETTINGS):
            assert np.isfinite(piece).all()
    except PermanentError:
        pass


@pytest.mark.parametrize(
    ("text", "most"),
    [("https://example.com/" + "a/" * 300, 20), ("word-" * 200, 20), ("9" * 5000, 1), ("a" * 20_000, 1)],
    ids=["an address", "hyphens", "digits", "letters"],
)
def test_no_word_of_many_parts_reaches_its_rules(
    engine: HibariEngine, monkeypatch: pytest.MonkeyPatch, text: str, most: int
) -> None:
    """The rules take time with the cube of a word's parts; all of the text is handed over, in bounded words."""
    handed: list[str] = []

    def listen(sentence: str) -> list[str]:
        handed.append(sentence)
        return []

    monkeypatch.setattr(engine._model, "phonemize", listen)
    assert list(engine.synthesise(text, SETTINGS)) == []
    assert "".join(handed).replace(" ", "") == text
    assert max(parts_of(word) for sentence in handed for word in sentence.split()) <= most
    assert max(len(word) for sentence in handed for word in sentence.split()) <= 100


def test_a_number_of_any_length_is_read(engine: HibariEngine) -> None:
    """Digit by digit, where it has no name; once these were errors of the language beneath."""
    assert list(engine.synthesise("9" * 60, SETTINGS))
    assert list(engine._model.phonemize(cut_numbers("9" * 5000)))


def test_ordinary_words_are_handed_over_as_they_are(engine: HibariEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that they sound to the sample as without any care for long words."""
    text = "On 2026-11-22 see https://example.com/docs/a-b.html?x=1, a state-of-the-art U.S. page of 1,250,000 words."
    cared_for = digest(engine, text)
    for name in ("cut_letters", "cut_numbers", "cut_parts"):
        monkeypatch.setattr(f"lib.voice_synth.engines.hibari.{name}", str)
    assert digest(engine, text) == cared_for


def test_a_crash_inside_the_package_is_one_of_our_errors(engine: HibariEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package cannot read is permanent: the same text would fail the same way."""

    def broken(_: str) -> list[str]:
        raise IndexError("list index out of range")

    monkeypatch.setattr(engine._model, "phonemize", broken)
    with pytest.raises(PermanentError, match="cannot read the text"):
        list(engine.synthesise("Hello.", SETTINGS))


def test_the_version_is_part_of_a_cache_key() -> None:
    """It names the package's version, and knowing it needs no load."""
    assert HibariEngine().model_version.startswith("hibari-tts-")


def test_engines_are_known_by_name() -> None:
    """The default is there, making one loads nothing, and an unknown name lists those that are."""
    assert DEFAULT_ENGINE in ENGINES
    assert make_engine("hibari").name == "hibari"
    with pytest.raises(PermanentError, match="hibary") as caught:
        make_engine("hibary")
    assert "hibari" in (caught.value.hint or "")
