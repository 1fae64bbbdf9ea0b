"""`voice-synth speak`: a text into takes.

It validates with the same rules as a job in a file and speaks with the same code as a watcher, so the same text gives
the same bytes here and there. `parse_speak` reads the same command line for whoever runs a manifest: one signature
makes both parsers. What speaks is imported only when something is spoken: `--help` answers at once.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import typer.main

from lib.errors import InvalidInputError
from lib.settings import Settings
from lib.voice_synth.cli.options import Json, VoicesDir  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lib.voice_synth.clips import Clips
    from lib.voice_synth.takes import Report, Step

STDIN: Final = Path("-")

EXAMPLES = """\b
Examples:
  voice-synth speak --voice newsroom --text "Good morning." --out-exact hello
  voice-synth speak --speaker Ryan --text-file s.txt --chunk --out-exact story
  voice-synth speak --voice newsroom --text "Take five." --out-exact five \\
    --variants 3 --select-best --json

The directory is made if need be. Takes that an earlier run left in it and this one does not make are removed.
"""


@dataclass(frozen=True, slots=True)
class SpeakCall:
    """One `voice-synth speak` command line, read and not yet done.

    `row` holds the speech fields that were given, as a job has them; `text` is among them unless `text_file` is to be
    read. Paths are as they were written; a text file `-` is stdin.
    """

    row: Mapping[str, Any]
    text_file: Path | None
    out_exact: Path
    json_result: Path | None = None
    seed: int = 0
    engine: str | None = None
    voices_dir: Path | None = None
    as_json: bool = False
    no_cache: bool = False


def speak_call(  # noqa: PLR0913, PLR0917  one parameter a flag: Typer calls it by name
    out_exact: Annotated[Path, typer.Option("--out-exact", metavar="DIR", help="Directory for the files.")],
    text: Annotated[str | None, typer.Option(help="What to say.")] = None,
    text_file: Annotated[Path | None, typer.Option(help="A UTF-8 file with what to say; - is stdin.")] = None,
    voice: Annotated[str | None, typer.Option(help="A registered voice, as newsroom.")] = None,
    speaker: Annotated[str | None, typer.Option(help="A listed speaker, as Ryan.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the text; English if not given.")] = None,
    tone: Annotated[str | None, typer.Option(help="How a voice should sound.")] = None,
    instruct: Annotated[str | None, typer.Option(help="How a speaker should speak.")] = None,
    instruct_style: Annotated[str | None, typer.Option(help="A named style; excludes --instruct.")] = None,
    profile: Annotated[str | None, typer.Option(help="stable, balanced or expressive.")] = None,
    variants: Annotated[int | None, typer.Option(help="How many takes; take i uses seed + i.")] = None,
    select_best: Annotated[bool, typer.Option("--select-best", help="Rank the takes, write best.wav.")] = False,  # noqa: FBT002  a flag
    chunk: Annotated[bool, typer.Option("--chunk", help="Speak sentence by sentence, with pauses.")] = False,  # noqa: FBT002  a flag
    temperature: Annotated[float | None, typer.Option(help="At least 0; sampling engines only.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Above 0, at most 1; sampling engines only.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 0; sampling engines only.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="At least 1; sampling engines only.")] = None,
    engine: Annotated[str | None, typer.Option(help="Speech engine; the first that can if not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first take.")] = 0,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="With --chunk, speak every sentence anew.")] = False,  # noqa: FBT002  a flag
    json_result: Annotated[
        Path | None, typer.Option(help="Where result.json goes; DIR/result.json if not given.")
    ] = None,
    voices_dir: VoicesDir = None,
    as_json: Json = False,  # noqa: FBT002  a flag
) -> SpeakCall:
    """Speak a text: takes, their description and result.json in one directory."""
    if (text is None) == (text_file is None):
        raise InvalidInputError("give exactly one of --text and --text-file", hint='try --text "Good morning."')
    given: dict[str, Any] = {
        "text": text,
        "voice": voice,
        "speaker": speaker,
        "language": language,
        "tone": tone,
        "instruct": instruct,
        "instruct_style": instruct_style,
        "profile": profile,
        "variants": variants,
        "select_best": select_best or None,
        "chunk": chunk or None,
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "max_new_tokens": max_new_tokens,
    }
    row = {name: value for name, value in given.items() if value is not None}
    return SpeakCall(
        MappingProxyType(row),
        text_file,
        out_exact,
        json_result,
        seed,
        engine,
        voices_dir=voices_dir,
        as_json=as_json,
        no_cache=no_cache,
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("speak", epilog=EXAMPLES)
@functools.wraps(speak_call)
def speak(**flags: Any) -> None:
    """The command; its signature and help are those of `speak_call`."""
    call = speak_call(**flags)
    row = {**call.row, "text": text_of(call)}
    # pydantic, numpy and the model: 0.3 s that --help and a wrong flag need not pay.
    from lib.voice_synth.library import VoiceLibrary  # noqa: PLC0415
    from lib.voice_synth.speaking import speak_row  # noqa: PLC0415

    report = speak_row(
        row,
        clips=_clips(call),
        voices=VoiceLibrary(voices_directory(call.voices_dir), check_files=True),
        seed=call.seed,
        engine=call.engine,
        directory=call.out_exact,
        json_result=call.json_result,
        watch=_shown,
    )
    _print(report, call)


def _clips(call: SpeakCall) -> Clips | None:
    """The sentences of this machine, for a text that is spoken by the sentence."""
    if "chunk" not in call.row:
        return None
    from lib.voice_synth.clip_folder import ClipFolder  # noqa: PLC0415 - as above
    from lib.voice_synth.clips import SpokenAnew  # noqa: PLC0415 - as above

    settings = Settings.load()
    clips = ClipFolder.of_machine(settings.jobs_state_dir, settings.sentence_cache_bytes)
    return SpokenAnew(clips) if call.no_cache else clips


def parse_speak(argv: Sequence[str]) -> SpeakCall:
    """What follows `voice-synth speak` on a command line, read by the command's own parser; nothing is run.

    The values of the fields are checked when they are spoken, as those of a job are.

    Raises:
        InvalidInputError: naming the option that is unknown, lacks its value or has one of the wrong kind.

    """
    command = _speak_parser()
    try:
        # Not `command.main`, which would listen to the environment for a shell's completion.
        with command.make_context("voice-synth speak", list(argv)) as context:
            call: SpeakCall = command.invoke(context)
    except typer.TyperException as exc:
        raise InvalidInputError(
            f"voice-synth speak: {exc.format_message()}", hint="see `voice-synth speak --help`"
        ) from exc
    return call


@functools.cache
def _speak_parser() -> Any:
    """Made once: a manifest has thousands of lines to read."""
    parser = typer.Typer(add_completion=False, rich_markup_mode=None)
    parser.command(add_help_option=False)(speak_call)
    return typer.main.get_command(parser)


def text_of(call: SpeakCall) -> str:
    """The text of a call, read from its file or from stdin when it is not in the row.

    Raises:
        InvalidInputError: the file cannot be read or is not UTF-8.

    """
    file = call.text_file
    if file is None:
        return str(call.row["text"])
    try:
        raw = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as exc:
        raise InvalidInputError(f"--text-file {file}: {exc.strerror}", hint="name a file that can be read") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"--text-file {file}: not UTF-8 at byte {exc.start}", hint="save it as UTF-8") from exc


def _shown(steps: Iterator[Step]) -> None:
    """Run the steps; on a terminal, one line that says how far it is."""
    live = sys.stderr.isatty()
    try:
        for step in steps:
            if live:
                typer.echo(f"\r{step.percent:5.1f} %  {step.message}\x1b[K", nl=False, err=True)
    finally:
        # Also when a step fails: the error begins a line of its own.
        if live:
            typer.echo("\r\x1b[K", nl=False, err=True)


def _print(report: Report, call: SpeakCall) -> None:
    output = Output(as_json=call.as_json)
    document = report.document
    if call.as_json:
        output.document(document)
        return
    for take in report.summary["takes"]:
        output.data(f"{call.out_exact / take['file']}\t{take['seconds']:.2f} s")
    if document["selection"]["enabled"]:
        output.data(f"{call.out_exact / 'best.wav'}\ttake {document['selection']['selected_take']}")
    substituted = document["substituted_voice"]
    if substituted:
        output.say(f"note: {substituted['asked']} is spoken by {substituted['engine']}'s {substituted['used']}")
    if document["ignored_fields"]:
        output.say(f"note: {document['model']['engine']} ignores {', '.join(document['ignored_fields'])}")
