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
    from lib.voice_synth.library_facts import voices_here  # noqa: PLC0415 - 0.2 s of pydantic

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
        for name, engine in voice["engines"].items():
            if not engine["usable"]:
                output.say(f"note: {voice['slug']} cannot speak with {name} here: {engine['why_not']}")


def _row(voice: Mapping[str, Any]) -> tuple[str, ...]:
    if voice["broken"] is not None:
        return (voice["slug"], "-", "broken", "-", "-")
    engines = ", ".join(name if engine["usable"] else f"{name} (not here)" for name, engine in voice["engines"].items())
    digests = [engine["digest"] for engine in voice["engines"].values()]
    digest = digests[0].removeprefix("sha256:")[:12] if digests and digests[0] else "-"
    return (voice["slug"], voice["language"] or "-", engines, digest, voice["description"])
