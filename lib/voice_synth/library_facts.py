"""What there is to speak with on this machine, as plain JSON: voices, speakers, engines.

For people and programs that look before they queue. No model is loaded, and nothing here raises because one voice or
one engine is broken: that is what they came to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib.errors import JobRunnerError
from lib.voice_synth.choice import first_that_can
from lib.voice_synth.engines.base import DEFAULT_LANGUAGE, EngineVoice
from lib.voice_synth.engines.registry import ENGINES, make_engine
from lib.voice_synth.library import BUILT_IN_SLUGS, VoiceLibrary, voice_of
from lib.voice_synth.listening import LANGUAGE as HEARD_LANGUAGE
from lib.voice_synth.listening import missing as missing_listener
from lib.voice_synth.voices import SPEAKERS, VoiceRegistry, digest_of_sound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.library_document import VoiceDocument
    from lib.voice_synth.voices import Voice


def voices_here(directory: Path) -> list[dict[str, Any]]:
    """The built-in voices and those of a directory; a broken one has `broken` and no engines."""
    engines = {name: make_engine(name) for name in ENGINES}
    built_in = VoiceRegistry()
    found = [_voice(built_in.require(slug), engines, None) for slug in built_in.slugs]
    for listed in VoiceLibrary(directory).listed():
        if listed.document is None:
            assert listed.broken is not None  # noqa: S101  one of the two; it narrows the type
            broken = {"message": listed.broken.message, "hint": listed.broken.hint}
            found.append(_described(listed.slug, broken=broken))
        else:
            voice = voice_of(directory, listed.document)
            found.append(_voice(voice, engines, listed.document))
    return found


def _digests(document: VoiceDocument | None, engine: str) -> dict[str, str]:
    # As its voice.json has them: a list must not read every model.
    return {} if document is None else {role: each.sha256 for role, each in document.engines[engine].files.items()}


def _voice(voice: Voice, engines: Mapping[str, SpeechEngine], document: VoiceDocument | None) -> dict[str, Any]:
    about = {
        name: {
            "usable": (why := why_not(engines.get(name), name, sound)) is None,
            "why_not": why,
            "name": sound.name,
            "speed": sound.speed,
            "digest": digest_of_sound(name, sound, _digests(document, name)),
        }
        for name, sound in voice.on_engine.items()
    }
    return _described(
        voice.slug,
        description=voice.description,
        language=voice.language,
        created_at=None if document is None else document.created_at,
        engines=about,
        usable=any(engine["usable"] for engine in about.values()),
    )


def _described(slug: str, **about: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "description": "",
        "language": None,
        "created_at": None,
        "engines": {},
        "usable": False,
        "broken": None,
    }
    return {"slug": slug, "built_in": slug in BUILT_IN_SLUGS, **empty, **about}


def speakers_here() -> list[dict[str, Any]]:
    """Each listed speaker, and which engine and voice here speak English for it."""
    engines = {name: make_engine(name) for name in ENGINES}
    return [_speaker(speaker, engines) for speaker in SPEAKERS]


@dataclass(frozen=True, slots=True)
class _Asked:
    speaker: str
    voice: str | None = None
    language: str = DEFAULT_LANGUAGE


def _speaker(speaker: str, engines: Mapping[str, SpeechEngine]) -> dict[str, Any]:
    about = {"speaker": speaker, "engine": None, "voice": None, "speed": None, "stand_in": False, "why_not": None}
    try:
        engine = first_that_can(_Asked(speaker), engines.__getitem__, VoiceRegistry())
    except JobRunnerError as exc:
        return {**about, "why_not": exc.message}
    choice = VoiceRegistry().choose(engine, voice=None, speaker=speaker)
    return {
        **about,
        "engine": engine.name,
        "voice": choice.voice.name,
        "speed": choice.voice.speed,
        "stand_in": choice.substituted is not None,
    }


def why_not(engine: SpeechEngine | None, name: str, voice: EngineVoice | None = None) -> str | None:
    """Why this engine cannot speak here, with that voice if one is given; None when it can."""
    if engine is None:
        return f"no engine is named {name}; a newer voice-synth may have it"
    try:
        lacking = engine.missing(voice)
        if voice is not None:
            engine.languages_of(voice)  # finds files that are no voice of this engine
        return None if lacking is None else f"this machine lacks {lacking}; {engine.remedy(voice)}"
    except JobRunnerError as exc:
        return exc.message


def capabilities_here() -> dict[str, Any]:
    """Every engine, and whether takes can be ranked by what a recogniser hears."""
    lacking = missing_listener()
    return {
        "engines": [_engine(make_engine(name)) for name in ENGINES],
        "qa": {"usable": lacking is None, "why_not": lacking, "language": HEARD_LANGUAGE},
    }


def _engine(engine: SpeechEngine) -> dict[str, Any]:
    why = why_not(engine, engine.name)
    asked: dict[str, Any] = {"version": "unknown", "languages": [], "controls": [], "sample_rate": None}
    try:
        asked = _asked(engine, usable=why is None)
    except JobRunnerError as exc:
        # It is there and does not work, as a program that fails when it is asked for its languages.
        why = why or exc.message
    return {
        "engine": engine.name,
        "usable": why is None,
        "why_not": why,
        "version": asked["version"],
        "languages": asked["languages"],
        "voices": list(engine.voices),
        "speakers": list(engine.speakers),
        "controls": asked["controls"],
        "sample_rate": asked["sample_rate"],
        "deterministic": engine.deterministic,
        "voice_parts": [
            {"role": part.role, "kind": part.kind, "required": part.required, "what": part.what}
            for part in engine.voice_parts
        ],
    }


def _asked(engine: SpeechEngine, *, usable: bool) -> dict[str, Any]:
    """What an engine may have to look for on this machine."""
    # What it obeys and how finely it sounds may differ by voice; its first own voice speaks for all.
    own = EngineVoice(next(iter((*engine.voices, *engine.speakers)), ""))
    return {
        "version": engine.model_version,
        "languages": list(engine.languages),
        "controls": sorted(engine.controls_of(own)) if own.name else [],
        "sample_rate": engine.sample_rate_of(own) if own.name and usable else None,
    }
