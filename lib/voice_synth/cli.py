"""The `voice-synth` program: it turns flags into a request and prints what came of it.

It validates with the same rules as a job in a file and speaks with the same code as a watcher, so the same
text gives the same bytes here and there. Exit codes are those of all the programs here; data goes to stdout,
everything else to stderr. What speaks is imported only when something is spoken: `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003  Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from lib.errors import InvalidInputError, JobRunnerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.takes import Report, Step

EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="voice-synth",
    help="Turn text into speech on this machine.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _program() -> None:
    """Turn text into speech on this machine."""


@app.command()
def speak(  # noqa: PLR0913, PLR0917  one parameter a flag: Typer calls it by name
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
    engine: Annotated[str | None, typer.Option(help="Speech engine; hibari if not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first take.")] = 0,
    json_result: Annotated[
        Path | None, typer.Option(help="Where result.json goes; DIR/result.json if not given.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print result.json and nothing else.")] = False,  # noqa: FBT002  a flag
) -> None:
    """Speak a text: takes, their description and result.json in one directory.

    The directory is made if need be. Takes that an earlier run left in it and this one does not make are removed.
    """
    with _ErrorsTold(as_json=json_output):
        row: dict[str, Any] = {
            "text": _text_of(text, text_file),
            "voice": voice,
            "speaker": speaker,
            "language": language,
            "tone": tone,
            "instruct": instruct,
            "instruct_style": instruct_style,
            "profile": profile,
            "variants": variants,
            "select_best": select_best,
            "chunk": chunk,
            "temperature": temperature,
            "top_p": top_p,
            "repetition_penalty": repetition_penalty,
            "max_new_tokens": max_new_tokens,
        }
        # pydantic, numpy and the model: 0.3 s that --help and a wrong flag need not pay.
        from lib.voice_synth.speaking import speak_row  # noqa: PLC0415

        report = speak_row(row, seed=seed, engine=engine, directory=out_exact, json_result=json_result, watch=_shown)
        _print(report, out_exact, as_json=json_output)


def main() -> None:
    """The console script."""
    app()


class _ErrorsTold:
    """The one error boundary: our errors become a message, a hint and an exit code, never a traceback."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            typer.echo("interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        if isinstance(error, JobRunnerError):
            self._tell(error)

    def _tell(self, error: JobRunnerError) -> NoReturn:
        if self._as_json:
            said = {"code": error.code, "message": error.message, "hint": error.hint}
            typer.echo(json.dumps({"schema_version": 1, "error": said}, ensure_ascii=False))
        typer.echo(f"error: {error.message}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        raise typer.Exit(error.exit_code) from error


def _text_of(text: str | None, text_file: Path | None) -> str:
    if (text is None) == (text_file is None):
        raise InvalidInputError("give exactly one of --text and --text-file", hint='try --text "Good morning."')
    if text is not None:
        return text
    assert text_file is not None  # noqa: S101  the check above; it narrows the type
    try:
        raw = sys.stdin.buffer.read() if str(text_file) == "-" else text_file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as exc:
        raise InvalidInputError(
            f"--text-file {text_file}: {exc.strerror}", hint="name a file that can be read"
        ) from exc
    except UnicodeDecodeError as exc:
        raise InvalidInputError(
            f"--text-file {text_file}: not UTF-8 at byte {exc.start}", hint="save it as UTF-8"
        ) from exc


def _shown(steps: Iterator[Step]) -> None:
    """Run the steps; on a terminal, one line that says how far it is."""
    live = sys.stderr.isatty()
    for step in steps:
        if live:
            typer.echo(f"\r{step.percent:5.1f} %  {step.message}\x1b[K", nl=False, err=True)
    if live:
        typer.echo("\r\x1b[K", nl=False, err=True)


def _print(report: Report, directory: Path, *, as_json: bool) -> None:
    document = report.document
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for take in report.summary["takes"]:
        typer.echo(f"{directory / take['file']}\t{take['seconds']:.2f} s")
    if document["selection"]["enabled"]:
        typer.echo(f"{directory / 'best.wav'}\ttake {document['selection']['selected_take']}")
    substituted = document["substituted_voice"]
    if substituted:
        typer.echo(
            f"note: {substituted['asked']} is spoken by {substituted['engine']}'s {substituted['used']}", err=True
        )
    if document["ignored_fields"]:
        ignored = ", ".join(document["ignored_fields"])
        typer.echo(f"note: {document['model']['engine']} ignores {ignored}", err=True)


if __name__ == "__main__":
    main()
