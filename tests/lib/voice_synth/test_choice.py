"""Which engine a job gets: the first that can speak it here, and what stands in for what is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import PermanentError
from lib.voice_synth.choice import engine_for, first_that_can
from lib.voice_synth.engines.base import EngineVoice
from lib.voice_synth.engines.registry import DEFAULT_ENGINE, ENGINES, make_engine
from lib.voice_synth.request import LanguageError, SpeechRequest, prepare
from lib.voice_synth.voices import NEWSROOM, STAND_INS, UnknownVoiceError, Voice, VoiceRegistry
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.voice_synth.engines.base import SpeechEngine

OWN = {"model": Path("/voices/anna/model.onnx")}
VOICES = VoiceRegistry(
    (
        NEWSROOM,
        Voice(
            "anna",
            "",
            {"espeak": EngineVoice("f2"), "hibari": EngineVoice("heart"), "piper": EngineVoice("", files=OWN)},
        ),
        Voice("clone", "", {"qwen": EngineVoice("", files=OWN)}),
        Voice("later", "", {"fromage": EngineVoice("brie")}),
    )
)


@dataclass
class Machine:
    """What is installed: engines by name, those in `lacking` missing something."""

    lacking: frozenset[str]
    languages: dict[str, tuple[str, ...]]

    def known(self, name: str) -> SpeechEngine:
        """The engine, which loads nothing."""
        return ScriptedEngine(
            name=name,
            speakers=("Ryan", "Vivian") if name == "qwen" else (),
            languages=self.languages[name],
            lacks="its package" if name in self.lacking else None,
        )


@pytest.fixture
def machine() -> Callable[..., Machine]:
    """A machine with every engine but those named."""

    def made(*lacking: str) -> Machine:
        languages = {
            "hibari": ("English",),
            "piper": ("English", "German"),
            "qwen": ("English", "French", "Chinese"),
            "espeak": ("English", "French", "German", "Welsh"),
        }
        return Machine(frozenset(lacking), languages)

    return made


def request(**given: Any) -> SpeechRequest:
    """A request for the built-in voice, or for what is given."""
    who = {} if "speaker" in given else {"voice": "newsroom"}
    return SpeechRequest(**{"text": "Good evening.", **who, **given})


def spoken_by(machine: Machine, **given: Any) -> tuple[str, str, dict[str, str] | None]:
    """Engine, its voice, and the substitute that is said."""
    asked = request(**given)
    engine = engine_for(asked, machine.known, VOICES)
    choice = prepare(asked, engine, VOICES).choice
    return engine.name, choice.voice.name, choice.substituted


def test_the_order_of_engines() -> None:
    """The bundled one first, the machine's voice last."""
    assert list(ENGINES) == ["hibari", "piper", "qwen", "espeak"]
    assert DEFAULT_ENGINE == "hibari"


def test_the_built_in_voice(machine: Callable[..., Machine]) -> None:
    """The default engine speaks English; other languages go to the first engine that has them, and that is said."""
    assert spoken_by(machine()) == ("hibari", "heart", None)
    for language, engine, used in (("German", "piper", "joe"), ("fr", "qwen", "Aiden"), ("Welsh", "espeak", "plain")):
        said = {"asked": "newsroom", "used": used, "engine": engine}
        assert spoken_by(machine(), language=language) == (engine, used, said)
    said = {"asked": "newsroom", "used": "plain", "engine": "espeak"}
    assert spoken_by(machine("qwen"), language="French") == ("espeak", "plain", said)


def test_an_engine_asked_for_by_name(machine: Callable[..., Machine]) -> None:
    """It is that one, and no substitute for anything; or an error that says what it lacks."""
    assert spoken_by(machine(), engine="espeak") == ("espeak", "plain", None)
    assert spoken_by(machine(), engine="piper", language="de") == ("piper", "joe", None)
    with pytest.raises(LanguageError, match="hibari does not speak 'French'"):
        spoken_by(machine(), engine="hibari", language="French")
    with pytest.raises(PermanentError, match="piper cannot speak here: this machine lacks its package") as caught:
        spoken_by(machine("piper"), engine="piper")
    assert caught.value.hint == "install piper"
    with pytest.raises(PermanentError, match="clone has no sound on the engine piper"):
        spoken_by(machine(), engine="piper", voice="clone")


def test_a_speaker_is_real_where_an_engine_has_it(machine: Callable[..., Machine]) -> None:
    """Else a stand-in speaks, on the default engine first, then on one that knows the language."""
    assert spoken_by(machine(), speaker="Ryan") == ("qwen", "Ryan", None)
    said = {"asked": "Ryan", "used": "heart", "engine": "hibari"}
    assert spoken_by(machine("qwen"), speaker="Ryan") == ("hibari", "heart", said)
    said = {"asked": "Sohee", "used": "f1", "engine": "espeak"}
    assert spoken_by(machine(), speaker="Sohee", language="Welsh") == ("espeak", "f1", said)
    said = {"asked": "Ryan", "used": "joe", "engine": "piper"}
    assert spoken_by(machine(), speaker="Ryan", language="German") == ("piper", "joe", said)


def test_a_voice_of_somebodys_own(machine: Callable[..., Machine]) -> None:
    """First where it brought something of its own, then by the order; it is itself on each of them."""
    assert spoken_by(machine(), voice="anna") == ("piper", "", None)
    assert spoken_by(machine("piper"), voice="anna") == ("hibari", "heart", None)
    assert spoken_by(machine(), voice="anna", language="Welsh") == ("espeak", "f2", None)
    assert spoken_by(machine(), voice="clone", language="zh") == ("qwen", "", None)


def test_nobody_speaks_it(machine: Callable[..., Machine]) -> None:
    """Every engine's reason is said; an engine that would, were it installed, is the hint."""
    with pytest.raises(
        LanguageError, match="'Elvish' with the voice newsroom: hibari does not speak it; piper"
    ) as caught:
        spoken_by(machine(), language="Elvish")
    assert caught.value.hint == "languages here: English, German, French, Chinese, Welsh"
    with pytest.raises(LanguageError, match="espeak lacks its package") as caught:
        spoken_by(machine("espeak"), language="Welsh")
    assert caught.value.hint == "for espeak: install espeak"
    with pytest.raises(PermanentError, match="'English' with the voice clone: qwen lacks its package"):
        spoken_by(machine("qwen"), voice="clone")
    with pytest.raises(PermanentError, match="the voice later has no sound on any engine that is known here"):
        spoken_by(machine(), voice="later")


@pytest.mark.parametrize("given", [{"voice": "newsrom"}, {"speaker": "ryan"}, {"voice": None}])
@pytest.mark.parametrize("engine", [None, "piper"])
def test_a_name_that_nobody_has(machine: Callable[..., Machine], given: dict[str, Any], engine: str | None) -> None:
    """It is a mistake of the request, whatever engine was asked for."""
    with pytest.raises(UnknownVoiceError):
        spoken_by(machine(), engine=engine, **given)


def test_an_engine_that_nobody_has() -> None:
    """The near names are the hint."""
    with pytest.raises(PermanentError, match="no speech engine is named 'hibary'") as caught:
        engine_for(request(engine="hibary"), make_engine, VOICES)
    assert "hibari" in (caught.value.hint or "")


def test_a_broken_voice_is_said_only_when_nothing_else_can(machine: Callable[..., Machine]) -> None:
    """Its files are named; where another engine has the voice whole, that one speaks."""

    class Broken(Machine):
        def known(self, name: str) -> SpeechEngine:
            """Piper's files cannot be read."""
            engine = super().known(name)
            if name != "piper":
                return engine

            class Unreadable(ScriptedEngine):
                def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:
                    """Fail."""
                    raise PermanentError(f"{voice.files['model']} is gone")

            return Unreadable(name="piper")

    here = machine()
    assert spoken_by(Broken(here.lacking, here.languages), voice="anna")[0] == "hibari"
    nowhere = machine("hibari", "espeak")
    with pytest.raises(PermanentError, match=r"model\.onnx is gone"):
        spoken_by(Broken(nowhere.lacking, nowhere.languages), voice="anna")


def test_a_job_and_a_request_get_the_same(machine: Callable[..., Machine]) -> None:
    """What a plan asks for a job, which names no engine, is what a take asks."""
    for given in ({}, {"language": "fr"}, {"speaker": "Ryan"}, {"voice": "anna", "language": "Welsh"}):
        asked = request(**given)
        here = machine("qwen")
        assert first_that_can(asked, here.known, VOICES).name == engine_for(asked, here.known, VOICES).name


@pytest.mark.parametrize("name", ["hibari", "piper", "espeak"])
def test_every_stand_in_is_a_voice_that_its_engine_has(name: str) -> None:
    """All nine speakers, at a sane pace."""
    engine = ENGINES[name]()
    assert len(STAND_INS[name]) == 9
    assert all(voice.name in engine.voices and 0.85 <= voice.speed <= 1.15 for voice in STAND_INS[name].values())
    newsroom = VoiceRegistry().require("newsroom").on_engine[name]
    assert newsroom.name in engine.voices
