"""`job-runner enqueue-beatsheet`: the beats of a topic into the queue, each as one speech job."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.advice import typed
from job_runner.cli.options import AnyVoice, Json, NoColor, Quiet, RedisUrl
from job_runner.cli.submitting import Replace, Target, submit_and_tell
from lib.command_line.output import Output
from lib.errors import InvalidInputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner enqueue-beatsheet beats.json --voice newsroom
  job-runner enqueue-beatsheet beats.json --speaker Ryan --chunk
  job-runner enqueue-beatsheet beats.json    if it names its voices

A beatsheet is JSON or YAML: {topicId, title?, totalBeats?, ttsDefaults?, beats: [{id, narration, tts?, source_ref?}]}.
Beat 7 of rome becomes the job rome:beat-007. Flags win over a beat's tts, that over ttsDefaults. A sheet that names its
voices can also be given to plan, compile, run and enqueue.
"""

Sheet = Annotated[Path, typer.Argument(metavar="FILE", help="A beatsheet, JSON or YAML.", show_default=False)]
Voice = Annotated[str | None, typer.Option(help="A registered voice, as newsroom.")]
Speaker = Annotated[str | None, typer.Option(help="A listed speaker, as Ryan.")]
Language = Annotated[str | None, typer.Option(help="Language of the narration.")]
Tone = Annotated[str | None, typer.Option(help="How a voice should sound.")]
Instruct = Annotated[str | None, typer.Option(help="How a speaker should speak.")]
InstructStyle = Annotated[str | None, typer.Option(help="A named style; excludes --instruct.")]
Profile = Annotated[str | None, typer.Option(help="stable, balanced or expressive.")]
Variants = Annotated[int | None, typer.Option(help="How many takes of each beat.")]
SelectBest = Annotated[bool | None, typer.Option("--select-best/--no-select-best", help="Rank the takes.")]
Chunk = Annotated[bool | None, typer.Option("--chunk/--no-chunk", help="Speak sentence by sentence, with pauses.")]
Temperature = Annotated[float | None, typer.Option(help="At least 0; sampling engines only.")]
TopP = Annotated[float | None, typer.Option(help="Above 0, at most 1; sampling engines only.")]
Penalty = Annotated[float | None, typer.Option(help="Above 0; sampling engines only.")]
Tokens = Annotated[int | None, typer.Option(help="At least 1; sampling engines only.")]


@app.command(epilog=EXAMPLES)
def enqueue_beatsheet(  # noqa: PLR0913 - one parameter a flag
    file: Sheet,
    *,
    voice: Voice = None,
    speaker: Speaker = None,
    language: Language = None,
    tone: Tone = None,
    instruct: Instruct = None,
    instruct_style: InstructStyle = None,
    profile: Profile = None,
    variants: Variants = None,
    select_best: SelectBest = None,
    chunk: Chunk = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    repetition_penalty: Penalty = None,
    max_new_tokens: Tokens = None,
    target: Target = None,
    replace: Replace = False,
    any_voice: AnyVoice = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Put the beats of a beatsheet into the queue, each as one speech job."""
    flags = {
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
    if voice is not None and speaker is not None:
        raise InvalidInputError("--voice and --speaker exclude each other", hint="give one of them")
    by_hand = {name: value for name, value in flags.items() if value is not None}
    submit_and_tell(
        [file],
        Output(as_json=json, quiet=quiet, no_color=no_color),
        f"enqueue-beatsheet {typed([file, *_as_typed(by_hand)])}",
        target=target,
        replace=replace,
        any_voice=any_voice,
        redis_url=redis_url,
        by_hand=by_hand,
    )


def _as_typed(flags: dict[str, str | int | float | bool]) -> list[str]:
    """The same flags on a command line."""
    words: list[str] = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", str(value)]
    return words
