"""The adapter of Qwen3-TTS loads what is there, says exactly what a job said, and types what goes wrong.

Our code is the real one; in place of the package and of torch stands a tiny model that writes down its calls.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lib.capabilities.speech import WarmEngines
from lib.errors import PermanentError, TaskError, TemporaryError
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from lib.voice_synth.engines.qwen import QwenEngine
from lib.voice_synth.engines.qwen_weights import WeightsHere
from lib.voice_synth.request import SpeechRequest, prepare
from lib.voice_synth.takes import Speaking
from lib.voice_synth.voices import Voice, VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

STAND_IN = Path(__file__).parent / "qwen_stand_in"
RYAN = EngineVoice("Ryan")
SMALL, LARGE, BASE, DESIGN = (
    f"Qwen3-TTS-12Hz-{name}" for name in ("0.6B-CustomVoice", "1.7B-CustomVoice", "1.7B-Base", "1.7B-VoiceDesign")
)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The stand-in, importable under the package's name, and gone afterwards."""
    monkeypatch.syspath_prepend(str(STAND_IN))
    for name in ("torch", "qwen_tts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("qwen_tts")
    for name in ("torch", "qwen_tts"):
        sys.modules.pop(name, None)


def engine(tmp_path: Path, *models: str) -> QwenEngine:
    """One whose machine has these models."""
    for model in models or (LARGE, BASE, DESIGN):
        for file in ("config.json", "generation_config.json", "speech_tokenizer/config.json"):
            path = tmp_path / "models" / model / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    return QwenEngine(WeightsHere(tmp_path / "models", tmp_path / "cache"))


def recording(tmp_path: Path, said: str | None = "Hello there.") -> EngineVoice:
    """A voice from a recording."""
    path = tmp_path / "anna.wav"
    path.write_bytes(b"RIFF")
    return EngineVoice("", files={"reference_audio": path}, texts={"reference_text": said} if said else {})


def spoken(engine: QwenEngine, voice: EngineVoice, text: str = "Good morning.", **told: Any) -> Any:
    """The one piece."""
    settings = SynthesisSettings(voice, **{"language": "English", "seed": 7, **told})
    (piece,) = engine.synthesise(text, settings)
    return piece


def last(package: ModuleType) -> tuple[str, dict[str, Any]]:
    """The last call."""
    call: tuple[str, dict[str, Any]] = package.CALLS[-1]
    return call


def test_a_speaker(package: ModuleType, tmp_path: Path) -> None:
    """The speaker model, the words of the job, every sampling value, and the seed just before."""
    made = spoken(
        engine(tmp_path),
        RYAN,
        temperature=0.45,
        top_p=0.78,
        repetition_penalty=1.12,
        max_new_tokens=900,
        instruct="Softly.",
    )
    assert made.dtype == np.float32
    assert made.ndim == 1
    assert importlib.import_module("torch").SEEDS == [7]
    assert last(package) == (
        "generate_custom_voice",
        {
            "text": "Good morning.",
            "language": "English",
            "speaker": "Ryan",
            "instruct": "Softly.",
            "do_sample": True,
            "temperature": 0.45,
            "top_p": 0.78,
            "repetition_penalty": 1.12,
            "max_new_tokens": 900,
        },
    )


def test_how_a_model_is_loaded(package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its directory and never from the network; in half precision on a card, in full on the processor."""
    here = engine(tmp_path)
    here.load()
    here.load_voice(RYAN)
    place = str(tmp_path / "models" / LARGE)
    alone = {"path": place, "attn_implementation": "sdpa", "local_files_only": True}
    assert [("from_pretrained", {**alone, "device_map": "cpu", "dtype": "float32"})] == package.CALLS
    torch = importlib.import_module("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_card = {**alone, "device_map": "cuda:0"}
    engine(tmp_path).load_voice(RYAN)
    assert last(package)[1] == {**on_card, "dtype": "bfloat16"}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    engine(tmp_path).load_voice(RYAN)
    assert last(package)[1] == {**on_card, "dtype": "float16"}


def test_a_temperature_of_zero_chooses_the_likeliest(package: ModuleType, tmp_path: Path) -> None:
    """The package refuses 0 while sampling; nothing is sampled then."""
    spoken(engine(tmp_path), RYAN, temperature=0.0, top_p=0.5)
    told = last(package)[1]
    assert (told["do_sample"], told["subtalker_dosample"]) == (False, False)
    assert not {"temperature", "top_p"} & told.keys()


def test_a_copy_of_a_recording(package: ModuleType, tmp_path: Path) -> None:
    """The recording is learned once for many texts, with its words; without them only the timbre is taken."""
    here, anna = engine(tmp_path), recording(tmp_path)
    here.load_voice(anna)
    for text in ("One.", "Two.", "Three."):
        spoken(here, anna, text)
    assert [call for call, _ in package.CALLS] == [
        "from_pretrained",
        "create_voice_clone_prompt",
        *["generate_voice_clone"] * 3,
    ]
    audio = str(anna.files["reference_audio"])
    assert package.CALLS[1][1] == {"audio": audio, "text": "Hello there.", "timbre_alone": False}
    assert last(package)[1]["prompt"] == ["prompt of anna.wav"]
    spoken(here, recording(tmp_path, said=None))
    assert package.CALLS[-2][1] == {"audio": audio, "text": None, "timbre_alone": True}


def test_a_voice_from_a_description(package: ModuleType, tmp_path: Path) -> None:
    """The description stands first, what the job says about how to speak behind it."""
    sailor = EngineVoice("", texts={"design": "An old sailor, hoarse."})
    spoken(engine(tmp_path), sailor, tone="merry")
    call, told = last(package)
    assert (call, told["instruct"]) == (
        "generate_voice_design",
        "An old sailor, hoarse. Speak in a tone that is merry.",
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"instruct": "Very happy."}, "Very happy."),
        ({"instruct_style": "a bedtime story"}, "Speak in the style of a bedtime story."),
        ({"tone": "calm"}, "Speak in a tone that is calm."),
        ({}, None),
    ],
)
def test_words_about_how_to_speak(
    package: ModuleType, tmp_path: Path, given: dict[str, str], words: str | None
) -> None:
    """Each field becomes a sentence that the model understands; none is invented."""
    spoken(engine(tmp_path), RYAN, **given)
    assert last(package)[1]["instruct"] == words


@pytest.mark.usefixtures("package")
def test_what_it_cannot_obey_is_said(tmp_path: Path) -> None:
    """The small speaker model and a copy of a recording take no words; all take what samples."""
    voices = VoiceRegistry((Voice("anna", "", {"qwen": recording(tmp_path)}), Voice("announcer", "", {"qwen": RYAN})))
    everything = {"temperature": 0.5, "top_p": 0.5, "repetition_penalty": 1.1, "max_new_tokens": 9, "profile": "stable"}
    copy = SpeechRequest(text="Hi.", voice="anna", engine="qwen", tone="warm", **everything)  # type: ignore[arg-type]
    assert prepare(copy, engine(tmp_path), voices).ignored_fields == ("tone",)
    named = SpeechRequest(text="Hi.", voice="announcer", engine="qwen", tone="warm", **everything)  # type: ignore[arg-type]
    assert prepare(named, engine(tmp_path), voices).ignored_fields == ()
    small = engine(tmp_path / "small", SMALL)
    assert prepare(named, small, voices).ignored_fields == ("tone",)


def test_one_model_at_a_time(package: ModuleType, tmp_path: Path) -> None:
    """Each is gigabytes: the one before goes, and the same one is not loaded twice."""
    here = engine(tmp_path)
    for voice in (RYAN, EngineVoice("Sohee"), recording(tmp_path), RYAN):
        spoken(here, voice)
    loaded = [Path(told["path"]).name for call, told in package.CALLS if call == "from_pretrained"]
    assert loaded == [LARGE, BASE, LARGE]
    assert len(here._models) == 1


def test_the_large_model_is_taken_where_both_are(package: ModuleType, tmp_path: Path) -> None:
    """The version of the model names what is there."""
    here = engine(tmp_path, SMALL, LARGE)
    spoken(here, RYAN)
    assert Path(package.CALLS[0][1]["path"]).name == LARGE
    assert here.model_version.endswith("+12Hz-1.7B-CustomVoice")


@pytest.mark.parametrize(
    ("failure", "kind", "said"),
    [
        (MemoryError(), TemporaryError, "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), TemporaryError, "out of memory"),
        (RuntimeError("device-side assert"), TemporaryError, "RuntimeError: device-side assert"),
        (ValueError("Unsupported speakers: ['x']"), PermanentError, "Unsupported speakers"),
        (NotImplementedError("Language x not implemented"), PermanentError, "not implemented"),
        (OSError("model.safetensors is corrupt"), PermanentError, "corrupt"),
    ],
)
def test_what_goes_wrong_is_typed(
    package: ModuleType, tmp_path: Path, failure: Exception, kind: type[TaskError], said: str
) -> None:
    """While loading and while speaking: retried if another try may help, else final; the next job is none the worse."""
    here = engine(tmp_path)
    package.FAILURES.append(failure)
    with pytest.raises(kind, match=said):
        here.load_voice(RYAN)
    here.load_voice(RYAN)
    package.FAILURES.append(failure)
    with pytest.raises(kind, match=said):
        spoken(here, RYAN)
    assert len(spoken(here, RYAN)) > 1000


@pytest.mark.usefixtures("package")
def test_what_it_cannot_speak_is_permanent(tmp_path: Path) -> None:
    """A speaker it does not know, a language that its model lacks, letters of none of its languages."""
    here = engine(tmp_path)
    with pytest.raises(PermanentError, match="no speaker 'Bob'"):
        here.languages_of(EngineVoice("Bob"))
    with pytest.raises(PermanentError, match="Unsupported languages"):
        spoken(here, RYAN, language="Russian")
    with pytest.raises(PermanentError, match="cannot read"):
        here.check_text("\u0645\u0631\u062d\u0628\u0627", RYAN, "English")
    here.check_text("\u4f60\u597d, \u043f\u0440\u0438\u0432\u0435\u0442, \u3053\u3093", RYAN, "Chinese")


@pytest.mark.usefixtures("package")
def test_without_weights_it_says_how_to_bring_them(tmp_path: Path) -> None:
    """The package alone is not enough, and nothing is downloaded unasked."""
    bare = QwenEngine(WeightsHere(None, tmp_path / "cache"))
    assert bare.missing() == "the weights of every Qwen3-TTS model"
    assert bare.missing(RYAN) == f"the weights of {LARGE}"
    assert bare.missing(recording(tmp_path)) == f"the weights of {BASE}"
    assert f"hf download Qwen/{LARGE}" in bare.remedy(RYAN)
    with pytest.raises(PermanentError, match="never downloaded unasked") as caught:
        bare.load_voice(RYAN)
    assert "QWEN_TTS_DOWNLOAD=yes" in (caught.value.hint or "")
    assert engine(tmp_path, LARGE).missing(RYAN) is None


def test_a_download_that_is_allowed(package: ModuleType, tmp_path: Path) -> None:
    """Then, and only then, the library is given a name and leave to fetch it."""
    weights = WeightsHere.of_environment({"HF_HUB_CACHE": str(tmp_path), "QWEN_TTS_DOWNLOAD": "Yes"})
    QwenEngine(weights).load_voice(RYAN)
    told = last(package)[1]
    assert (told["path"], told["local_files_only"]) == (f"Qwen/{LARGE}", False)


def test_weights_in_the_cache_are_found(tmp_path: Path) -> None:
    """As its own library lays them out, at the snapshot that its branch names; half a download is none."""
    cached = tmp_path / "hf" / "hub" / f"models--Qwen--{LARGE}"
    snapshot = cached / "snapshots" / "abc"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    weights = WeightsHere.of_environment({"HF_HOME": str(tmp_path / "hf")})
    for file in ("config.json", "generation_config.json", "speech_tokenizer/config.json"):
        assert weights.find("speaker") is None
        path = snapshot / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    found = weights.find("speaker")
    assert found is not None
    assert (found.place, found.downloads) == (str(snapshot), False)


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All that describes it can still be asked."""
    monkeypatch.setattr("lib.voice_synth.engines.qwen.util.find_spec", lambda _: None)
    here = engine(tmp_path)
    assert here.missing(RYAN) == "the package qwen-tts"
    assert here.remedy(RYAN) == ".venv/bin/pip install --constraint constraints.txt --editable '.[qwen]'"
    assert (here.sample_rate_of(RYAN), len(here.speakers), len(here.languages_of(RYAN))) == (24_000, 9, 10)


def test_a_job_from_end_to_end(package: ModuleType, tmp_path: Path) -> None:
    """Takes with seeds of their own, whole files, and the model's name in result.json; a new sound each take."""
    request = SpeechRequest(text="Good morning to all of you.", speaker="Vivian", variants=2, seed=5)
    engines = WarmEngines(lambda _: engine(tmp_path))
    speaking = Speaking(request, engines, tmp_path / "out")
    (tmp_path / "out").mkdir()
    for _ in speaking.steps():
        pass
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (document["model"]["engine"], document["model"]["voice"]) == ("qwen", "Vivian")
    assert document["substituted_voice"] is None
    assert importlib.import_module("torch").SEEDS == [5, 6]
    assert len({file["sha256"] for file in document["files"] if file["kind"] == "take"}) == 2
    assert [call for call, _ in package.CALLS].count("from_pretrained") == 1
