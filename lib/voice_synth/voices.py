"""Voices and speakers: what a job may ask for, and what an engine makes of it.

A voice is a slug of the registry and says for each engine how it sounds there. A speaker is one of the listed
names that some engines have built in; an engine without it speaks with a stand-in, and the result says so. It
loads no engine, so a plan can ask it the same questions as a take. Which engine a job gets: `lib.voice_synth.choice`.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from lib.errors import PermanentError
from lib.voice_synth.engines.base import EngineVoice
from lib.voice_synth.engines.gemini import LIKE_SPEAKERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lib.voice_synth.engines.base import SpeechEngine


class UnknownVoiceError(PermanentError):
    """A voice or speaker that nothing here has: the command line was wrong, not the synthesis."""

    code = "unknown_voice"
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice, built in or registered: `on_engine` maps an engine's name to how the voice sounds there.

    `language` is the one that it was recorded or made for, None when the engine decides.
    """

    slug: str
    description: str
    on_engine: Mapping[str, EngineVoice]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What will speak. `substituted` is None when the job gets exactly what it asked for."""

    engine: str
    voice: EngineVoice
    substituted: dict[str, str] | None

    @property
    def digest(self) -> str:
        """Changes whenever the choice sounds different; part of a cache key beside engine and model version.

        Reads the voice's files once a process; `PermanentError` when one is gone. Where they lie changes nothing.
        """
        files = {role: _digest_of(path, *_seen(path)) for role, path in self.voice.files.items()}
        return digest_of_sound(self.engine, self.voice, files)


def digest_of_sound(engine: str, voice: EngineVoice, files: Mapping[str, str]) -> str:
    """`Choice.digest` for whoever knows the sha256 of each of the voice's files, by role."""
    what: list[object] = [engine, voice.name, voice.speed]
    if voice.files or voice.texts:
        what += [dict(files), dict(voice.texts)]
    packed = json.dumps(what, separators=(",", ":"), sort_keys=True)
    return f"sha256:{hashlib.sha256(packed.encode()).hexdigest()}"


def _seen(path: Path) -> tuple[int, int, int]:
    try:
        seen = path.stat()
    except OSError as exc:
        raise PermanentError(f"{path}: {exc.strerror}", hint="register the voice again") from exc
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _digest_of(path: Path, *seen: int) -> str:  # noqa: ARG001 - a file that changed is another key
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as exc:
        raise PermanentError(f"{path}: {exc.strerror}", hint="register the voice again") from exc


NEWSROOM: Final = Voice(
    slug="newsroom",
    description="An even, clear reader of news.",
    on_engine=MappingProxyType(
        {
            "hibari": EngineVoice("heart"),
            "piper": EngineVoice("joe"),
            "qwen": EngineVoice("Aiden"),
            "espeak": EngineVoice("plain"),
        }
    ),
)

# One bundled voice stands in for nine speakers; their paces differ a little, so that a dialogue can be followed.
_HIBARI_STAND_INS: Final = MappingProxyType(
    {
        "Vivian": EngineVoice("heart", 1.03),
        "Serena": EngineVoice("heart", 0.96),
        "Uncle_Fu": EngineVoice("heart", 0.9),
        "Dylan": EngineVoice("heart", 1.06),
        "Eric": EngineVoice("heart", 1.0),
        "Ryan": EngineVoice("heart", 1.08),
        "Aiden": EngineVoice("heart", 1.04),
        "Ono_Anna": EngineVoice("heart", 0.98),
        "Sohee": EngineVoice("heart", 0.94),
    }
)

# The one packaged voice of piper is a man's, with paces as above.
_PIPER_STAND_INS: Final = MappingProxyType(
    {speaker: EngineVoice("joe", voice.speed) for speaker, voice in _HIBARI_STAND_INS.items()}
)

# Variants that come with espeak-ng: f for women, m for men.
_ESPEAK_STAND_INS: Final = MappingProxyType(
    {
        "Vivian": EngineVoice("f2", 1.03),
        "Serena": EngineVoice("f3", 0.96),
        "Uncle_Fu": EngineVoice("m5", 0.9),
        "Dylan": EngineVoice("m1", 1.06),
        "Eric": EngineVoice("m2"),
        "Ryan": EngineVoice("m3", 1.08),
        "Aiden": EngineVoice("m7", 1.04),
        "Ono_Anna": EngineVoice("f4", 0.98),
        "Sohee": EngineVoice("f1", 0.94),
    }
)

# Of the cloud: no machine has it, but what speaks there for whom is the same everywhere.
_GEMINI_STAND_INS: Final = MappingProxyType({speaker: EngineVoice(name) for speaker, name in LIKE_SPEAKERS.items()})

SPEAKERS: Final = tuple(_HIBARI_STAND_INS)
"""The listed speakers; no other name is taken for one."""

STAND_INS: Final[Mapping[str, Mapping[str, EngineVoice]]] = MappingProxyType(
    {"hibari": _HIBARI_STAND_INS, "piper": _PIPER_STAND_INS, "espeak": _ESPEAK_STAND_INS, "gemini": _GEMINI_STAND_INS}
)
"""By engine: what speaks there for a speaker that it lacks."""


class VoiceRegistry:
    """The voices that a job may name: here those that it is given; `lib.voice_synth.library` adds a directory's."""

    def __init__(self, voices: Iterable[Voice] = (NEWSROOM,)) -> None:
        self._voices: Mapping[str, Voice] = MappingProxyType({voice.slug: voice for voice in voices})

    @property
    def slugs(self) -> tuple[str, ...]:
        """Every voice's slug."""
        return tuple(self._voices)

    def require(self, slug: str) -> Voice:
        """The voice; `UnknownVoiceError` with near names when there is none."""
        voice = self._voices.get(slug)
        if voice is not None:
            return voice
        raise UnknownVoiceError(f"no voice is named {slug!r}", hint=_near("voices", slug, self.slugs))

    def choose(self, engine: SpeechEngine, *, voice: str | None, speaker: str | None, by_name: bool = False) -> Choice:
        """What this engine speaks with for a job's voice or speaker; exactly one of them is given.

        The built-in voice on another than the default engine is a substitute, unless that engine was asked for
        `by_name`. A voice of somebody's own is itself wherever it says how it sounds.

        Raises `UnknownVoiceError` for a name that nobody has, and `PermanentError` when this engine has no sound
        for it.
        """
        if speaker is not None:
            return _speaker_on(engine, speaker)
        if voice is None:
            raise UnknownVoiceError("neither a voice nor a speaker is given", hint="write voice: newsroom")
        found = self.require(voice)
        sound = found.on_engine.get(engine.name)
        if sound is None:
            raise PermanentError(
                f"the voice {voice} has no sound on the engine {engine.name}",
                hint="use another engine, or register the voice for this one",
            )
        first = next(iter(found.on_engine))
        replaced = found is NEWSROOM and engine.name != first and not by_name
        substituted = {"asked": voice, "used": sound.name, "engine": engine.name} if replaced else None
        return Choice(engine.name, sound, substituted)


def require_speaker(speaker: str) -> None:
    """Raise `UnknownVoiceError` with near names unless the speaker is a listed one."""
    if speaker not in SPEAKERS:
        raise UnknownVoiceError(f"no speaker is named {speaker!r}", hint=_near("speakers", speaker, SPEAKERS))


def _speaker_on(engine: SpeechEngine, speaker: str) -> Choice:
    require_speaker(speaker)
    if speaker in engine.speakers:
        return Choice(engine.name, EngineVoice(speaker), None)
    stand_in = STAND_INS.get(engine.name, {}).get(speaker)
    if stand_in is None:
        raise PermanentError(
            f"the engine {engine.name} has no speaker {speaker} and no stand-in for it",
            hint=f"its voices: {', '.join(engine.voices)}",
        )
    return Choice(engine.name, stand_in, {"asked": speaker, "used": stand_in.name, "engine": engine.name})


def _near(noun: str, name: str, known: Iterable[str]) -> str:
    by_folded = {item.casefold(): item for item in known}
    near = [by_folded[match] for match in difflib.get_close_matches(name.casefold(), by_folded, n=3)]
    return f"near names: {', '.join(near)}" if near else f"known {noun}: {', '.join(by_folded.values())}"
