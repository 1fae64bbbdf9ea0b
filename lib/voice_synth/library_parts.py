"""What somebody brings to make a voice: checked against what the engine asks for before anything is copied.

A mistake found here costs a second; found when the voice first speaks, it costs a night of failed jobs. Which parts
there are is the engine's to say (`voice_parts`). Recordings are looked into; a model is loaded once if it can be.
"""

from __future__ import annotations

import difflib
import json
import wave
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.errors import InvalidInputError, PermanentError
from lib.voice_synth.engines.base import EngineVoice
from lib.voice_synth.engines.registry import ENGINES, make_engine
from lib.voice_synth.languages import named_in
from lib.voice_synth.library_document import MAX_DOCUMENT_BYTES, MAX_FILE_BYTES
from lib.voice_synth.request import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lib.voice_synth.engines.base import SpeechEngine, VoicePart

SHORTEST_REFERENCE_SECONDS: Final = 1.0
LONGEST_REFERENCE_SECONDS: Final = 60.0
"""Of the recording that a voice is cloned from: a word is too little, a chapter only costs memory."""

# A model that speaks one language may know it by two names, as English and English (Great Britain).
_FEW_LANGUAGES: Final = 2

_MODEL: Final = "model"
"""The role of a model's file."""

AUDIO_SUFFIX: Final = "_audio"
"""Roles that end so are recordings."""


@dataclass(frozen=True, slots=True)
class CheckedSound:
    """How a voice is to sound on one engine, by files that are where their owner has them."""

    engine: str
    name: str = ""
    speed: float = 1.0
    files: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def checked_sound(wanted: CheckedSound) -> CheckedSound:
    """The same, if the engine can make a voice of it.

    Raises:
        InvalidInputError: naming the engine, part, file or name that is wrong, and what would be right.

    """
    if wanted.engine not in ENGINES:
        raise InvalidInputError(
            f"no speech engine is named {wanted.engine!r}", hint=_near("engines", wanted.engine, ENGINES)
        )
    engine = make_engine(wanted.engine)
    check_roles(wanted)
    if not wanted.name and not wanted.files and not wanted.texts:
        own = shortened((*engine.voices, *engine.speakers))
        raise InvalidInputError(
            f"nothing says how the voice sounds on {engine.name}",
            hint=f"{_takes(engine)}; its own voices for --name: {own or 'none here'}",
        )
    if wanted.name:
        _check_name(engine, wanted.name)
    for role, path in wanted.files.items():
        check_file(role, path)
    for role, text in wanted.texts.items():
        if not text.strip():
            raise InvalidInputError(f"the text {role} is blank", hint="write it, or leave it out")
    spoken_languages(wanted)
    if _MODEL in wanted.files:
        _check_model(engine, wanted)
    return wanted


def is_unloaded(wanted: CheckedSound) -> bool:
    """Whether it brings a model that cannot be loaded here, so that nobody knows whether it can be used."""
    return _MODEL in wanted.files and make_engine(wanted.engine).missing(_voice(wanted)) is not None


def spoken_languages(sound: CheckedSound) -> tuple[str, ...]:
    """What the engine speaks with it, by English names; empty where the engine is unknown.

    Raises:
        InvalidInputError: the engine cannot use its files.

    """
    if sound.engine not in ENGINES:
        return ()
    try:
        return make_engine(sound.engine).languages_of(_voice(sound))
    except PermanentError as exc:
        raise InvalidInputError(exc.message, hint=exc.hint) from exc


def checked_language(sound: CheckedSound, asked: str | None) -> str | None:
    """The language of a voice that sounds so: the one that is asked for, else the only one that it has.

    Raises:
        InvalidInputError: the engine does not speak that language with it.

    """
    spoken = spoken_languages(sound)
    if asked is None:
        return spoken[0] if sound.files and 0 < len(spoken) <= _FEW_LANGUAGES else None
    named = named_in(spoken, asked) if spoken else asked
    if named is None:
        raise InvalidInputError(
            f"{sound.engine} does not speak {asked!r} with it", hint=f"it speaks {shortened(spoken)}"
        )
    return named


def check_roles(wanted: CheckedSound) -> None:
    """Raise `InvalidInputError` for a part that the engine does not know, or one that it needs and is not there.

    An engine that is unknown here may know better; nothing is said of it.
    """
    if wanted.engine not in ENGINES:
        return
    engine = make_engine(wanted.engine)
    kinds = {part.role: part.kind for part in engine.voice_parts}
    for kind, given in (("file", wanted.files), ("text", wanted.texts)):
        for role in given:
            if kinds.get(role) != kind:
                raise InvalidInputError(
                    f"{engine.name} takes no {kind} named {role!r} for a voice", hint=_takes(engine)
                )
    # A voice that is one of the engine's own by its name needs no parts.
    missing = [part for part in engine.voice_parts if part.required and not _given(part, wanted)]
    if missing and not wanted.name:
        raise InvalidInputError(f"a voice for {engine.name} lacks {_named(missing)}", hint=_takes(engine))


def check_file(role: str, path: Path) -> None:
    """Raise `InvalidInputError` for a file that cannot be what its role says."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a file", hint=f"name the file of {role}")
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint=f"name the file of {role}") from exc
    if not 0 < size <= MAX_FILE_BYTES:
        raise InvalidInputError(f"{path} has {size} bytes", hint=f"a file of a voice has 1 to {MAX_FILE_BYTES} of them")
    if role.endswith(AUDIO_SUFFIX):
        _check_recording(path)
    elif path.suffix == ".json":
        _check_json(path)


def _check_recording(path: Path) -> None:
    mend = "bring an uncompressed WAV file (PCM) of 1 to 60 seconds"
    try:
        with wave.open(str(path)) as opened:
            seconds = opened.getnframes() / opened.getframerate()
            whole = len(opened.readframes(opened.getnframes())) == (
                opened.getnframes() * opened.getnchannels() * opened.getsampwidth()
            )
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint=mend) from exc
    except (wave.Error, EOFError, ZeroDivisionError) as exc:
        raise InvalidInputError(f"{path} is no WAV file that can be read: {_words(exc)}", hint=mend) from exc
    if not whole:
        raise InvalidInputError(f"{path} is cut off: it has less sound than it says", hint=mend)
    if not SHORTEST_REFERENCE_SECONDS <= seconds <= LONGEST_REFERENCE_SECONDS:
        raise InvalidInputError(f"{path} lasts {seconds:.1f} s", hint=mend)


def _check_model(engine: SpeechEngine, wanted: CheckedSound) -> None:
    """Load it, where its engine is; a machine that only keeps voices takes it unseen."""
    if is_unloaded(wanted):
        return
    try:
        engine.load()
        engine.load_voice(_voice(wanted))
    except PermanentError as exc:
        raise InvalidInputError(exc.message, hint=exc.hint) from exc


def _voice(sound: CheckedSound) -> EngineVoice:
    return EngineVoice(sound.name, sound.speed, sound.files, sound.texts)


def _check_json(path: Path) -> None:
    try:
        raw = path.read_bytes()[: MAX_DOCUMENT_BYTES * 16]
        content: Any = json.loads(raw)
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint="name a file that can be read") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidInputError(f"{path} is no JSON: {exc}", hint="bring the file that came with the model") from exc
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path} is no JSON object", hint="bring the file that came with the model")


def _check_name(engine: SpeechEngine, name: str) -> None:
    known = (*engine.voices, *engine.speakers)
    if known and name not in known:
        raise InvalidInputError(
            f"{engine.name} has no voice of its own named {name!r}", hint=_near("its voices", name, known)
        )


def _words(error: Exception) -> str:
    return str(error) or "it ends early"


def _given(part: VoicePart, wanted: CheckedSound) -> bool:
    return part.role in (wanted.files if part.kind == "file" else wanted.texts)


def _named(parts: Iterable[VoicePart]) -> str:
    return ", ".join(f"{part.role} ({part.what})" for part in parts)


def _takes(engine: SpeechEngine) -> str:
    flags = [
        f"--{part.kind} {part.role}={'PATH' if part.kind == 'file' else 'WORDS'} "
        f"({part.what}{'' if part.required else '; may be left out'})"
        for part in engine.voice_parts
    ]
    return f"{engine.name} takes {', '.join(flags)}" if flags else f"{engine.name} takes --name and --speed alone"


def _near(noun: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3)
    return f"near names: {', '.join(near)}" if near else f"{noun}: {', '.join(names)}"
