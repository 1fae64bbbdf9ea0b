"""`speak` turns a normalised job into stored-ready files; the same job gives the same bytes."""

from __future__ import annotations

import json
import wave
from typing import TYPE_CHECKING, Any

import pytest

from lib.capabilities.speech import WarmEngines
from lib.errors import PermanentError
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.tasks.speak import Speak
from lib.voice_synth.engines.registry import make_engine
from tests.lib.tasks.contexts import RecordingContext
from tests.lib.voice_synth.kept_clips import ClipsInMemory

if TYPE_CHECKING:
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines


@pytest.fixture(scope="module")
def engines() -> WarmEngines:
    """Warm for all tests here."""
    return WarmEngines(make_engine)


def job(**given: Any) -> JobSpec:
    """A normalised job of the built-in voice, or of the speaker that is given."""
    voice = {} if "speaker" in given else {"voice": "newsroom"}
    return normalize_job_spec({"output_name": "topic/beat-001", "text": "The sun came out.", **voice, **given})


async def test_the_requirements_example_runs_unchanged(engines: SpeechEngines, tmp_path: Path) -> None:
    """A voice row and a speaker row under the example's defaults both become speech."""
    defaults = {"language": "English", "profile": "balanced", "variants": 1, "select_best": False, "chunk": False}
    rows: list[dict[str, Any]] = [
        {"output_name": "topic/beat-001", "voice": "newsroom", "text": "First line"},
        {"output_name": "topic/beat-002", "speaker": "Ryan", "voice": None, "text": "Second line"},
    ]
    results = []
    for number, row in enumerate(rows):
        context = RecordingContext(tmp_path / str(number), engines)
        context.work_dir.mkdir()
        results.append(await Speak().run(normalize_job_spec({**defaults, **row}), context))
        with wave.open(str(context.work_dir / "take_01.wav")) as opened:
            assert opened.getnframes() / opened.getframerate() > 0.5
    substituted = [result.result["substituted_voice"] for result in results if result.result]
    assert substituted == [None, {"asked": "Ryan", "used": "heart", "engine": "hibari"}]
    assert all(result.result and result.result["ignored_fields"] == ["profile"] for result in results)


async def test_outputs_are_files_of_the_work_directory(engines: SpeechEngines, tmp_path: Path) -> None:
    """Takes, best and descriptions, each with its kind, and takes.meta.json first among the descriptions."""
    result = await Speak().run(job(variants=2, select_best=True), RecordingContext(tmp_path, engines))
    assert [(output.name, output.kind) for output in result.outputs] == [
        ("take_01.wav", "take"),
        ("take_02.wav", "take"),
        ("best.wav", "best"),
        ("takes.meta.json", "meta"),
        ("text.txt", "meta"),
        ("result.json", "meta"),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {output.name for output in result.outputs}
    assert all(output.path.parent == tmp_path for output in result.outputs)


async def test_it_says_when_only_writing_is_left(engines: SpeechEngines, tmp_path: Path) -> None:
    """Once, when every take is spoken and nothing has yet been written beside them."""
    context = RecordingContext(tmp_path, engines)
    await Speak().run(job(variants=2), context)
    (count,) = context.nearly_at
    assert [(done, total) for _, done, total, _ in context.reports[count - 1 :]] == [(2, 2), (2, 2)]


async def test_the_result_is_small_plain_json(engines: SpeechEngines, tmp_path: Path) -> None:
    """It fits a record: model, what was substituted or ignored, timings, and each take's length, not the text."""
    spec = job(text="A sentence that nobody needs twice in a record. " * 40)
    result = await Speak().run(spec, RecordingContext(tmp_path, engines))
    assert result.result is not None
    dumped = json.dumps(result.result, allow_nan=False)
    assert len(dumped) < 1_000
    assert "nobody needs" not in dumped
    assert result.result["model"]["engine"] == "hibari"
    (take,) = result.result["takes"]
    assert take["seconds"] == pytest.approx(result.result["timings"]["audio_sec"])


async def test_the_same_job_gives_the_same_bytes(engines: SpeechEngines, tmp_path: Path) -> None:
    """On a cold and on a warm engine, whatever was spoken between."""
    sounds = []
    for number, provider in enumerate((engines, WarmEngines(make_engine), engines)):
        context = RecordingContext(tmp_path / str(number), provider)
        context.work_dir.mkdir()
        await Speak().run(job(variants=2), context)
        sounds.append([(context.work_dir / f"take_0{take}.wav").read_bytes() for take in (1, 2)])
    assert sounds[0] == sounds[1] == sounds[2]
    assert sounds[0][0] != sounds[0][1]


async def test_sentences_that_were_spoken_are_not_spoken_again(engines: SpeechEngines, tmp_path: Path) -> None:
    """Of the context's clips, with the same bytes; a job that asks to be made anew has all of it spoken, and kept."""
    clips = ClipsInMemory()
    sounds, said = [], []
    for number, text in enumerate(("One came. Two left.", "One came. Three left.", "One came. Three left.")):
        context = RecordingContext(tmp_path / str(number), engines, clips=clips)
        context.work_dir.mkdir()
        result = await Speak().run(job(chunk=True, text=text, cache=number < 2), context)
        sounds.append((context.work_dir / "take_01.wav").read_bytes())
        said.append((result.result or {})["sentences"])
    assert said == [{"at_hand": 0, "of": 2}, {"at_hand": 1, "of": 2}, {"at_hand": 0, "of": 2}]
    assert sounds[0] != sounds[1] == sounds[2]


async def test_progress_is_reported_by_take(engines: SpeechEngines, tmp_path: Path) -> None:
    """A bar has a percentage, which take of how many, and a line to show."""
    context = RecordingContext(tmp_path, engines)
    await Speak().run(job(variants=3, chunk=True, text="One came. Two left. Three stayed."), context)
    percents = [percent for percent, *_ in context.reports]
    assert percents == sorted(percents)
    assert percents[-1] == 100.0
    assert {total for _, _, total, _ in context.reports} == {3}
    assert context.reports[-1][1] == 3
    assert any(message == "take 2 of 3" for *_, message in context.reports)
    assert len(percents) > 3 * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"voice": "newsrom"}, "newsrom"),
        ({"speaker": "Nobody"}, "Nobody"),
        ({"language": "Elvish"}, "Elvish"),
        ({"text": "\u4f60\u597d\u4e16\u754c"}, "Latin"),
        ({"text": "?!"}, "nothing that can be spoken"),
    ],
)
async def test_what_cannot_be_spoken_is_permanent(
    given: dict[str, Any], said: str, engines: SpeechEngines, tmp_path: Path
) -> None:
    """No other attempt is made, and the message names what was asked."""
    with pytest.raises(PermanentError, match=said):
        await Speak().run(job(**given), RecordingContext(tmp_path, engines))
    assert list(tmp_path.iterdir()) == []


def test_it_runs_in_a_child() -> None:
    """Synthesis blocks, so the kind keeps it out of the watcher's loop."""
    assert (Speak().kind.isolation, Speak().kind.capability) == ("child", "speech")
