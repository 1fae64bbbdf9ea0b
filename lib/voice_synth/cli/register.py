"""`voice-synth register`: a voice of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lib.errors import InvalidInputError
from lib.voice_synth.cli.options import Json, VoicesDir  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.voice_synth.library_parts import CheckedSound

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth register anna --piper-model anna.onnx    (and anna.onnx.json)
  voice-synth register anna --reference-audio anna.wav \\
    --reference-text "What she says in it."
  voice-synth register slow-news --engine hibari --name heart --speed 0.85
  voice-synth register anna --replace --engine piper \\
    --file model=a.onnx --file config=a.json

The files are copied. A voice may have a sound on several engines: register it again with another one. A watcher that
runs takes a new voice for its next job. `voice-synth capabilities` shows what each engine takes.
"""

PIPER: Final = "piper"
PIPER_MODEL: Final = "model"
PIPER_CONFIG: Final = "config"
CLONE: Final = "qwen"
REFERENCE_AUDIO: Final = "reference_audio"
REFERENCE_TEXT: Final = "reference_text"

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="Its name: small letters, digits and inner hyphens.")]
Engine = Annotated[str | None, typer.Option("--engine", help="The engine that it is to sound on.", show_default=False)]
Files = Annotated[
    list[str] | None,
    typer.Option("--file", metavar="ROLE=PATH", help="A file of it, by its role; repeatable."),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="ROLE=WORDS", help="A text of it, by its role; repeatable."),
]
PiperModel = Annotated[
    Path | None, typer.Option("--piper-model", metavar="PATH", help="A piper model; its PATH.json is found beside it.")
]
ReferenceAudio = Annotated[
    Path | None, typer.Option("--reference-audio", metavar="WAV", help="A recording of 1 to 60 s to clone, on qwen.")
]
ReferenceText = Annotated[
    str | None, typer.Option("--reference-text", metavar="WORDS", help="What is said in the recording.")
]
Name = Annotated[str | None, typer.Option("--name", help="One of the engine's own voices.", show_default=False)]
Speed = Annotated[float, typer.Option("--speed", min=0.25, max=4.0, help="Above 1 faster than natural.")]
Language = Annotated[
    str | None, typer.Option("--language", help="The language it was made for, as English.", show_default=False)
]
Description = Annotated[str | None, typer.Option("--description", help="For people.", show_default=False)]
Replace = Annotated[bool, typer.Option("--replace", help="Also if the voice sounds on this engine already.")]


@app.command("register", epilog=EXAMPLES)
def register(  # noqa: PLR0913  one parameter a flag
    slug: Slug,
    *,
    engine: Engine = None,
    file: Files = None,
    text: Texts = None,
    piper_model: PiperModel = None,
    reference_audio: ReferenceAudio = None,
    reference_text: ReferenceText = None,
    name: Name = None,
    speed: Speed = 1.0,
    language: Language = None,
    description: Description = None,
    replace: Replace = False,
    voices_dir: VoicesDir = None,
    json: Json = False,
) -> None:
    """Register a voice of your own, or one more engine for a voice."""
    from lib.voice_synth.library_changes import Registration, checked_slug  # noqa: PLC0415 - --help need not pay for it
    from lib.voice_synth.library_changes import register as register_voice  # noqa: PLC0415 - ditto
    from lib.voice_synth.library_parts import CheckedSound, checked_language, checked_sound  # noqa: PLC0415 - ditto

    checked_slug(slug)
    files = {role: Path(value) for role, value in _pairs("--file", file or ()).items()}
    texts = _pairs("--text", text or ())
    engines = [engine] if engine else []
    if piper_model is not None:
        engines.append(PIPER)
        files |= {PIPER_MODEL: piper_model, PIPER_CONFIG: _beside(piper_model)}
    if reference_audio is not None or reference_text is not None:
        engines.append(CLONE)
        files |= {REFERENCE_AUDIO: reference_audio} if reference_audio is not None else {}
        texts |= {REFERENCE_TEXT: reference_text} if reference_text is not None else {}
    sound = checked_sound(CheckedSound(_one_of(engines), name or "", speed, files, texts))
    document = register_voice(
        voices_directory(voices_dir),
        Registration(slug, sound, description, checked_language(sound, language), replace=replace),
    )
    output = Output(as_json=json)
    if json:
        output.document({"voice": document.model_dump()})
        return
    output.data(f"{slug}: {', '.join(sorted(document.engines))}")
    _say_missing(output, sound)


def _one_of(engines: Sequence[str]) -> str:
    if not engines:
        raise InvalidInputError(
            "no engine is given", hint="add --engine, --piper-model or --reference-audio; see --help for examples"
        )
    if len(set(engines)) > 1:
        raise InvalidInputError(
            f"flags for several engines: {', '.join(dict.fromkeys(engines))}", hint="register them one after the other"
        )
    return engines[0]


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        role, is_pair, value = each.partition("=")
        if not is_pair or not role or not value:
            raise InvalidInputError(f"{flag} {each!r} is no ROLE=VALUE", hint=f"as {flag} model=a.onnx")
        if role in found:
            raise InvalidInputError(f"{flag} {role} is given twice", hint="leave one out")
        found[role] = value
    return found


def _beside(model: Path) -> Path:
    """The description that piper's models come with."""
    found = model.with_name(f"{model.name}.json")
    if not found.is_file():
        raise InvalidInputError(
            f"{found} is not there",
            hint="piper's models come with it; or name it: --engine piper --file model=… --file config=…",
        )
    return found


def _say_missing(output: Output, sound: CheckedSound) -> None:
    from lib.voice_synth.engines.registry import make_engine  # noqa: PLC0415 - as above
    from lib.voice_synth.library_parts import is_unloaded  # noqa: PLC0415 - ditto

    engine = make_engine(sound.engine)
    lacking = engine.missing()
    if lacking is not None:
        output.say(f"note: {sound.engine} cannot speak here, this machine lacks {lacking}; {engine.remedy()}")
    if is_unloaded(sound):
        output.say("note: only the description of the model is checked; whether the model can be used is not known")
