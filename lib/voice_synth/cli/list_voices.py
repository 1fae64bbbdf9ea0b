"""`voice-synth list-voices`: what a job's `voice` may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from lib.voice_synth.cli.options import Json, VoicesDir  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth list-voices
  voice-synth list-voices --json | jq -r '.voices[].slug'

A broken voice is listed with what is wrong, and hides no other.
"""


@app.command("list-voices", epilog=EXAMPLES)
def list_voices(*, voices_dir: VoicesDir = None, json: Json = False) -> None:
    """List the voices that a job may name: the built-in one and those that were registered."""
    from lib.voice_synth.library_facts import voices_here  # noqa: PLC0415 - --help need not pay for it

    directory = voices_directory(voices_dir)
    voices = voices_here(directory)
    output = Output(as_json=json)
    if json:
        output.document({"voices_dir": str(directory), "voices": voices})
        return
    titles = ("VOICE", "LANGUAGE", "ENGINES", "DIGEST", "DESCRIPTION")
    output.table(titles, [_row(voice) for voice in voices])
    for voice in voices:
        if voice["broken"] is not None:
            output.say(f"note: {voice['broken']['message']}; {voice['broken']['hint']}")
        if not voice["usable"]:
            for name, engine in voice["engines"].items():
                output.say(f"note: {voice['slug']} cannot speak with {name} here: {engine['why_not']}")


def _row(voice: Mapping[str, Any]) -> tuple[str, ...]:
    if voice["broken"] is not None:
        return (voice["slug"], "-", "broken", "-", "-")
    usable = [name for name, engine in voice["engines"].items() if engine["usable"]]
    engines = ", ".join(usable) or f"{', '.join(voice['engines'])} (not here)"
    digest = next(iter(voice["engines"].values()))["digest"]
    language = voice["language"] or "as its engine"
    return (voice["slug"], language, engines, digest.removeprefix("sha256:")[:12], voice["description"])
