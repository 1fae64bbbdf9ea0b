"""A request becomes whole, listenable files with everything said about them, or an error and no file."""

from __future__ import annotations

import hashlib
import json
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lib.capabilities.speech import WarmEngines
from lib.errors import PermanentError, TaskError, TemporaryError
from lib.voice_synth.request import SpeechRequest
from lib.voice_synth.takes import Report, Speaking, Step
from tests.lib.voice_synth.scripted_engine import RATE, ScriptedEngine, spoken, tone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lib.voice_synth.engines.base import Samples, SynthesisSettings

TEXT = "The sun said nothing. It only smiled."


def speaking(engine: ScriptedEngine, directory: Path, **given: Any) -> Speaking:
    """A request to this engine."""
    request = SpeechRequest(**{"text": TEXT, "speaker": "Ryan", **given})
    return Speaking(request, WarmEngines(lambda _: engine), directory)


def spoken_by(engine: ScriptedEngine, directory: Path, **given: Any) -> tuple[Report, list[Step]]:
    """Run it to the end."""
    run = speaking(engine, directory, **given)
    steps = list(run.steps())
    return run.report(), steps


def names(directory: Path) -> list[str]:
    """Everything in the directory, hidden files too."""
    return sorted(path.name for path in directory.iterdir())


def test_one_take(tmp_path: Path) -> None:
    """The files of the contract, and nothing else."""
    report, _ = spoken_by(ScriptedEngine(), tmp_path)
    assert names(tmp_path) == ["result.json", "take_01.wav", "takes.meta.json", "text.txt"]
    assert [file.path.name for file in report.files] == ["take_01.wav", "takes.meta.json", "text.txt", "result.json"]
    assert (tmp_path / "text.txt").read_text() == TEXT


def test_every_file_is_named_with_its_size_and_digest(tmp_path: Path) -> None:
    """What result.json says of each file is what stands on the disk."""
    report, _ = spoken_by(ScriptedEngine(), tmp_path, variants=2, select_best=True)
    said = json.loads((tmp_path / "result.json").read_bytes())["files"]
    assert [item["name"] for item in said] == ["take_01.wav", "take_02.wav", "best.wav", "takes.meta.json", "text.txt"]
    for item in said:
        content = (tmp_path / item["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (item["bytes"], item["sha256"])
    for file in report.files:
        assert file.bytes == file.path.stat().st_size


def test_the_answer_has_the_parts_of_the_contract(tmp_path: Path) -> None:
    """schema_version, request, model, selection, timings, files, and what was substituted or ignored."""
    report, _ = spoken_by(ScriptedEngine(), tmp_path, instruct="softly")
    document = json.loads((tmp_path / "result.json").read_bytes())
    assert document == report.document
    assert document["schema_version"] == 1
    assert document["request"]["text"] == TEXT
    assert document["model"]["engine"] == "scripted"
    assert document["ignored_fields"] == ["instruct"]
    assert document["substituted_voice"] is None
    assert document["selection"] == {"selected_take": 1, "enabled": False, "method": None, "ranking": []}
    assert set(document["timings"]) == {"load_sec", "synth_sec", "total_sec", "audio_sec", "rtf"}
    assert report.summary["timings"] == document["timings"]
    assert TEXT not in json.dumps(report.summary)


def test_a_voice_is_loaded_once_and_its_rate_is_the_files(tmp_path: Path) -> None:
    """Voices of one engine may differ in rate; loading one counts as loading, whatever the number of takes."""
    engine = ScriptedEngine()
    engine.sample_rate = 16_000
    report, _ = spoken_by(engine, tmp_path, variants=2)
    assert [voice.name for voice in engine.loaded_voices] == ["Ryan"]
    assert report.document["model"]["sample_rate"] == 16_000
    with wave.open(str(tmp_path / "take_01.wav")) as opened:
        assert opened.getframerate() == 16_000


def test_an_engine_that_is_missing_is_an_error_and_no_file(tmp_path: Path) -> None:
    """It is said before anything is loaded, with what to do."""
    engine = ScriptedEngine(lacks="the package x")
    with pytest.raises(PermanentError, match="lacks the package x"):
        spoken_by(engine, tmp_path)
    assert (names(tmp_path), engine.loads) == ([], 0)


def test_takes_have_seeds_of_their_own(tmp_path: Path) -> None:
    """Variant i is spoken with seed + i and described so."""
    engine = ScriptedEngine()
    spoken_by(engine, tmp_path, variants=3, seed=10)
    assert [settings.seed for _, settings in engine.asked] == [10, 11, 12]
    meta = json.loads((tmp_path / "takes.meta.json").read_bytes())
    assert [(take["file"], take["seed"]) for take in meta["takes"]] == [
        ("take_01.wav", 10),
        ("take_02.wav", 11),
        ("take_03.wav", 12),
    ]


def test_the_same_request_writes_the_same_bytes(tmp_path: Path) -> None:
    """Sound, description and text are equal in every run; only result.json tells the time."""
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        spoken_by(ScriptedEngine(), tmp_path / place, variants=2, select_best=True, chunk=True)
    for name in names(tmp_path / "a"):
        if name != "result.json":
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_chunks_are_spoken_one_by_one_with_silence_between(tmp_path: Path) -> None:
    """The engine is given sentences, and the take is longer by 300 ms a gap."""
    engine = ScriptedEngine()
    spoken_by(engine, tmp_path, chunk=True)
    assert [text for text, _ in engine.asked] == ["The sun said nothing.", "It only smiled."]
    with wave.open(str(tmp_path / "take_01.wav")) as opened:
        frames = opened.getnframes()
    parts = [len(next(spoken(text, settings))) for text, settings in engine.asked]
    assert frames == sum(parts) + round(0.3 * RATE)


def test_without_chunking_the_engine_gets_the_text_verbatim(tmp_path: Path) -> None:
    """Line breaks and spaces are the engine's to read."""
    engine = ScriptedEngine()
    spoken_by(engine, tmp_path, text=" One.\n\n Two. ")
    assert [text for text, _ in engine.asked] == [" One.\n\n Two. "]
    assert (tmp_path / "text.txt").read_text() == " One.\n\n Two. "


def hurried(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
    """A good take only with seed 1; the others gabble."""
    yield from spoken(text, settings) if settings.seed == 1 else [tone(1.2)]


def test_the_best_take_is_written_once_more(tmp_path: Path) -> None:
    """best.wav holds the bytes of the take that ranks first, and the ranking says why."""
    spoken_by(ScriptedEngine(script=hurried), tmp_path, variants=3, select_best=True)
    selection = json.loads((tmp_path / "result.json").read_bytes())["selection"]
    assert selection["selected_take"] == 2
    assert [rank["take"] for rank in selection["ranking"]] == [2, 1, 3]
    assert (tmp_path / "best.wav").read_bytes() == (tmp_path / "take_02.wav").read_bytes()


def test_progress_rises_to_a_hundred(tmp_path: Path) -> None:
    """Percents never fall, begin at 0, end at 100, and 100 is said only when the files stand."""
    run = speaking(ScriptedEngine(), tmp_path, variants=3)
    percents = []
    for step in run.steps():
        percents.append(step.percent)
        if step.percent == 100:
            assert (tmp_path / "result.json").exists()
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert percents.count(100) == 1


def test_a_text_much_longer_than_thought_does_not_pass_a_hundred(tmp_path: Path) -> None:
    """An engine that is slower than the estimate keeps the bar below the end."""

    def slow(text: str, _: SynthesisSettings) -> Iterator[Samples]:
        yield from (tone(1.0) for _ in text)

    _, steps = spoken_by(ScriptedEngine(script=slow), tmp_path)
    assert max(step.percent for step in steps[:-1]) < 100


def silent(_: str, __: SynthesisSettings) -> Iterator[Samples]:
    """Zeros."""
    yield np.zeros(3 * RATE, dtype=np.float32)


def clipped(_: str, __: SynthesisSettings) -> Iterator[Samples]:
    """A square wave at full scale."""
    yield np.sign(tone(3.0)).astype(np.float32)


def cut(_: str, __: SynthesisSettings) -> Iterator[Samples]:
    """A tenth of what the text takes."""
    yield tone(0.2)


def nothing(_: str, __: SynthesisSettings) -> Iterator[Samples]:
    """No piece at all."""
    yield from ()


def not_a_number(_: str, __: SynthesisSettings) -> Iterator[Samples]:
    """A good piece, then a broken one."""
    yield tone(2.0)
    yield np.full(100, np.nan, dtype=np.float32)


@pytest.mark.parametrize("script", [silent, clipped, cut, nothing, not_a_number])
@pytest.mark.parametrize(("deterministic", "expected"), [(True, PermanentError), (False, TemporaryError)])
def test_audio_that_nobody_could_use_is_an_error(
    script: Callable[[str, SynthesisSettings], Iterator[Samples]],
    deterministic: bool,  # noqa: FBT001  a parameter of the test
    expected: type[TaskError],
    tmp_path: Path,
) -> None:
    """Permanent where a repetition gives the same samples, temporary where it samples anew; no file stays."""
    run = speaking(ScriptedEngine(script=script, deterministic=deterministic), tmp_path)
    with pytest.raises(expected, match=r"take_01\.wav"):
        list(run.steps())
    assert names(tmp_path) == []
    with pytest.raises(RuntimeError):
        run.report()


def test_one_broken_take_of_many_fails_the_job(tmp_path: Path) -> None:
    """Three takes were asked for; two good ones and a silent one are not three takes."""

    def third_is_silent(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        yield from silent(text, settings) if settings.seed == 2 else spoken(text, settings)

    with pytest.raises(PermanentError, match=r"take_03\.wav"):
        list(speaking(ScriptedEngine(script=third_is_silent), tmp_path, variants=3).steps())
    assert "result.json" not in names(tmp_path)


def test_a_crash_of_the_engine_leaves_no_half_take(tmp_path: Path) -> None:
    """An error in mid-word passes through, and neither the take nor a partial file stays."""

    def dies(_: str, __: SynthesisSettings) -> Iterator[Samples]:
        yield tone(1.0)
        raise TemporaryError("out of memory")

    with pytest.raises(TemporaryError, match="out of memory"):
        list(speaking(ScriptedEngine(script=dies), tmp_path).steps())
    assert names(tmp_path) == []


def test_an_abandoned_run_leaves_no_half_take(tmp_path: Path) -> None:
    """Whoever stops listening in the middle, as a cancel does, finds no partial file."""
    steps = speaking(ScriptedEngine(), tmp_path).steps()
    next(steps)
    next(steps)
    steps.close()  # type: ignore[attr-defined]  # it is a generator
    assert names(tmp_path) == []


def test_files_of_an_earlier_run_go(tmp_path: Path) -> None:
    """Fewer takes and no best.wav: what the earlier run left is removed, what a person put there stays."""
    spoken_by(ScriptedEngine(), tmp_path, variants=3, select_best=True)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "take_one.wav").write_text("mine")
    spoken_by(ScriptedEngine(), tmp_path, variants=1)
    assert names(tmp_path) == ["notes.txt", "result.json", "take_01.wav", "take_one.wav", "takes.meta.json", "text.txt"]


def test_a_directory_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    """Disk trouble is not the job's fault; the message names the directory."""
    with pytest.raises(TemporaryError, match="writing takes to"):
        list(speaking(ScriptedEngine(), tmp_path / "gone").steps())


def test_the_engine_is_loaded_once_for_many_jobs(tmp_path: Path) -> None:
    """The second job of a process loads nothing, and each says how long it waited for that."""
    engine = ScriptedEngine()
    engines = WarmEngines(lambda _: engine)
    for _ in range(3):
        run = Speaking(SpeechRequest(text=TEXT, speaker="Ryan"), engines, tmp_path)
        list(run.steps())
        assert run.report().document["timings"]["load_sec"] >= 0
    assert engine.loads == 1
