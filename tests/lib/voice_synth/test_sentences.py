"""Of a text that has changed only the new sentences are spoken, and nobody can tell by the files."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lib.capabilities.speech import WarmEngines
from lib.errors import PermanentError, TaskError, TemporaryError
from lib.voice_synth.clips import SpokenAnew
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.request import SpeechRequest
from lib.voice_synth.takes import Report, Speaking
from tests.lib.voice_synth.kept_clips import ClipsInMemory
from tests.lib.voice_synth.own_voices import own_voice
from tests.lib.voice_synth.scripted_engine import RATE, ScriptedEngine, spoken, tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.voice_synth.clips import Clips
    from lib.voice_synth.engines.base import Samples, SynthesisSettings

WORDS = ("evening", "weather", "market", "harbour", "council", "railway", "theatre", "river", "garden", "library")


def text_of(count: int, **changed: str) -> str:
    """So many sentences, those that are named with another word."""
    words = [changed.get(f"s{number}", WORDS[number % len(WORDS)]) for number in range(count)]
    return " ".join(f"Number {number} is the {word}." for number, word in enumerate(words))


def made(engine: ScriptedEngine, directory: Path, clips: Clips, **given: Any) -> Report:
    """Speak by the sentence."""
    directory.mkdir(parents=True, exist_ok=True)
    request = SpeechRequest(**{"text": text_of(10), "speaker": "Ryan", "chunk": True, **given})
    run = Speaking(request, WarmEngines(lambda _: engine), directory, clips=clips)
    for _ in run.steps():
        pass
    return run.report()


def files(directory: Path) -> dict[str, bytes]:
    """Everything but result.json, which tells the time."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "result.json"}


def texts(engine: ScriptedEngine) -> list[str]:
    """What the engine was asked to say since this was asked."""
    said = [text for text, _ in engine.asked]
    engine.asked.clear()
    return said


def test_one_changed_word_costs_one_sentence(tmp_path: Path) -> None:
    """And the files are those of the text spoken whole, to the last byte; the result counts."""
    engine, clips = ScriptedEngine(), ClipsInMemory()
    first = made(engine, tmp_path / "first", clips, text=text_of(40))
    assert len(texts(engine)) == 40
    changed = text_of(40, s20="morning")
    again = made(engine, tmp_path / "again", clips, text=changed)
    assert texts(engine) == ["Number 20 is the morning."]
    made(engine, tmp_path / "whole", ClipsInMemory(), text=changed)
    assert files(tmp_path / "again") == files(tmp_path / "whole")
    assert first.summary["sentences"] == {"at_hand": 0, "of": 40}
    assert again.document["sentences"] == again.summary["sentences"] == {"at_hand": 39, "of": 40}


@pytest.mark.parametrize(
    ("text", "spoken_anew"),
    [
        (f"A new beginning. {text_of(10)}", 1),
        (f"{text_of(10)} And an end.", 1),
        (text_of(10).replace(" Number 5 is the railway.", ""), 0),
        (text_of(10).replace("Number 5", "It is said that number 5", 1), 1),
        (". ".join(reversed(text_of(10).removesuffix(".").split(". "))) + ".", 0),
    ],
)
def test_a_change_is_local(tmp_path: Path, text: str, spoken_anew: int) -> None:
    """No border of another sentence moves, wherever something is put in, taken out, made longer or put elsewhere."""
    engine, clips = ScriptedEngine(), ClipsInMemory()
    made(engine, tmp_path / "first", clips)
    texts(engine)
    made(engine, tmp_path / "again", clips, text=text)
    assert len(texts(engine)) == spoken_anew


def test_a_change_in_a_long_sentence_is_that_sentence(tmp_path: Path) -> None:
    """Its parts, cut at commas to a length, may all have moved; its neighbours have not."""
    long = "And so, " + ", ".join(f"as the {WORDS[number % 10]} of number {number} is" for number in range(30)) + "."
    engine, clips = ScriptedEngine(), ClipsInMemory()
    made(engine, tmp_path / "first", clips, text=f"{text_of(10)} {long} {text_of(10)}")
    texts(engine)
    made(engine, tmp_path / "again", clips, text=f"{text_of(10)} {long.replace('so', 'however', 1)} {text_of(10)}")
    assert all("Number" not in text for text in texts(engine))


def test_the_default_engine_gives_the_same_bytes_of_clips(tmp_path: Path) -> None:
    """Real speech: two takes, ranked, of which every sentence but one was at hand."""
    engine = make_engine("hibari")
    warm, clips = WarmEngines(lambda _: engine), ClipsInMemory()

    def speak(place: str, text: str, clips: Clips | None) -> dict[str, Any]:
        (tmp_path / place).mkdir()
        given: dict[str, Any] = {"speaker": "Ryan", "chunk": True, "variants": 2, "select_best": True}
        run = Speaking(SpeechRequest(text, **given), warm, tmp_path / place, clips=clips)
        for _ in run.steps():
            pass
        return run.report().document

    speak("first", "Good evening. Here is the news. It rained.", clips)
    again = speak("again", "Good evening. Here is the news. It shone.", clips)
    whole = speak("whole", "Good evening. Here is the news. It shone.", None)
    assert again["sentences"] == {"at_hand": 4, "of": 6}
    assert files(tmp_path / "again") == files(tmp_path / "whole")
    assert again["selection"] == whole["selection"]


def test_takes_have_clips_of_their_own(tmp_path: Path) -> None:
    """By their seed: three takes of one sentence are three; a fourth take later is one more."""
    engine, clips = ScriptedEngine(), ClipsInMemory()
    made(engine, tmp_path / "a", clips, text="Good evening.", variants=3)
    assert len(clips.kept) == 3
    report = made(engine, tmp_path / "b", clips, text="Good evening.", variants=4)
    assert report.summary["sentences"] == {"at_hand": 3, "of": 4}


@pytest.mark.parametrize(
    "given", [{"speaker": "Vivian"}, {"language": "French"}, {"profile": "stable"}, {"tone": "warm"}, {"seed": 7}]
)
def test_another_wish_is_another_clip(tmp_path: Path, given: dict[str, Any]) -> None:
    """Whatever may change the sound."""
    engine, clips = ScriptedEngine(), ClipsInMemory()
    made(engine, tmp_path / "a", clips)
    assert made(engine, tmp_path / "b", clips, **given).summary["sentences"] == {"at_hand": 0, "of": 10}
    engine.model_version = "scripted-2"
    assert made(engine, tmp_path / "c", clips).summary["sentences"]["at_hand"] == 0


def test_a_text_that_is_spoken_whole_takes_no_part(tmp_path: Path) -> None:
    """Its like is found by the job; nobody is asked, nothing is kept, and no count stands in the result."""
    clips = ClipsInMemory()
    report = made(ScriptedEngine(), tmp_path, clips, chunk=False)
    assert (clips.asked, clips.kept) == ([], {})
    assert "sentences" not in report.document
    assert "sentences" not in report.summary


def test_a_line_that_comes_twice(tmp_path: Path) -> None:
    """Spoken once where it would be the same again, and twice by an engine that samples: also of clips."""
    text = "Once more. And then? Once more."
    for deterministic, anew in ((True, 2), (False, 3)):
        engine, clips = ScriptedEngine(deterministic=deterministic), ClipsInMemory()
        made(engine, tmp_path / "a", clips, text=text)
        assert len(texts(engine)) == anew
        made(engine, tmp_path / "b", clips, text=text)
        assert texts(engine) == []


def test_who_asks_anew_has_all_spoken_and_kept(tmp_path: Path) -> None:
    """What is made then is what others are given."""
    engine, clips = ScriptedEngine(), ClipsInMemory()
    made(engine, tmp_path / "a", clips)
    engine.script = lambda text, settings: (piece * 0.5 for piece in spoken(text, settings))
    made(engine, tmp_path / "b", SpokenAnew(clips))
    assert len(texts(engine)) == 20
    made(engine, tmp_path / "c", clips)
    assert texts(engine) == []
    assert files(tmp_path / "c") == files(tmp_path / "b")


def once_dumb(*dumb: str) -> Any:
    """Silent at the first time it is to say one of these."""
    left = list(dumb)

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        for word in left:
            if word in text:
                left.remove(word)
                yield tone(2.0, 0.0)
                return
        yield from spoken(text, settings)

    return script


def test_a_sentence_that_is_no_good_is_not_kept(tmp_path: Path) -> None:
    """Silent among others that can be heard, the take passes; the sentence is spoken again for the next one."""
    engine, clips = ScriptedEngine(script=once_dumb("weather"), deterministic=False), ClipsInMemory()
    made(engine, tmp_path / "a", clips)
    texts(engine)
    made(engine, tmp_path / "b", clips)
    assert texts(engine) == ["Number 1 is the weather."]


def broken_once(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
    """Half a sound, then no number."""
    yield from spoken(text, settings)
    yield np.array([np.nan], dtype=np.float32)


def test_an_attempt_that_dies_has_not_spoken_in_vain(tmp_path: Path) -> None:
    """The sentences before the one that failed are there for the next attempt; that one is not."""
    engine, clips = ScriptedEngine(deterministic=False), ClipsInMemory()

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        return broken_once(text, settings) if "council" in text else spoken(text, settings)

    engine.script = script
    with pytest.raises(TemporaryError, match="NaN"):
        made(engine, tmp_path / "a", clips)
    engine.script = spoken
    texts(engine)
    assert made(engine, tmp_path / "b", clips).summary["sentences"] == {"at_hand": 4, "of": 10}


def test_a_take_that_was_left_in_the_middle_keeps_whole_sentences_alone(tmp_path: Path) -> None:
    """Half a sentence would be a wrong one."""

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        for piece in spoken(text, settings):
            yield from np.array_split(piece, 4)

    clips = ClipsInMemory()
    request = SpeechRequest(text_of(3), speaker="Ryan", chunk=True)
    steps = Speaking(request, WarmEngines(lambda _: ScriptedEngine(script=script)), tmp_path, clips=clips).steps()
    for _ in range(1 + 4 + 2):
        next(steps)
    del steps
    assert len(clips.kept) == 1


def test_the_next_attempt_does_not_meet_what_failed(tmp_path: Path) -> None:
    """A take may fail whole though each sentence passes, as with much silence between: these are forgotten."""
    engine, clips = ScriptedEngine(deterministic=False), ClipsInMemory()
    faint = 0.0021 * np.sqrt(2)

    def script(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
        sound = tone(1.0, faint)
        sound[: RATE // 1000] *= 0.03 / faint
        yield sound

    engine.script = script
    with pytest.raises(TaskError, match="silent"):
        made(engine, tmp_path / "a", clips, text="One. Two. Three. Four. Five. Six.", variants=1)
    assert clips.asked
    assert clips.kept == {}


@pytest.mark.parametrize("gone", [False, True])
def test_a_voice_that_is_replaced_meanwhile_is_not_kept(tmp_path: Path, *, gone: bool) -> None:
    """Nobody knows which of the two was heard, so it is spoken again; the same when its files are gone."""
    own_voice(tmp_path / "voices")
    engine, clips = ScriptedEngine(name="piper"), ClipsInMemory()

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        if "Two" in text:
            settings.voice.files["model"].unlink()
            if not gone:
                settings.voice.files["model"].write_bytes(b"another model")
        yield from spoken(text, settings)

    engine.script = script
    voices = VoiceLibrary(tmp_path / "voices")
    request = SpeechRequest("One word. Two words. Three.", voice="anna", engine="piper", chunk=True)
    steps = Speaking(request, WarmEngines(lambda _: engine), tmp_path, voices=voices, clips=clips).steps()
    with contextlib.suppress(PermanentError):
        list(steps)
    assert len(texts(engine)) == 3
    assert len(clips.kept) == 1
