"""`voice-synth rename`: another name for a voice."""

from __future__ import annotations

from typing import Annotated

import typer

from lib.voice_synth.cli.options import Json, Slug, VoicesDir  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth rename anna anna-2024

Jobs that name the old one fail from then on, also those that wait in a queue.
"""

New = Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]


@app.command("rename", epilog=EXAMPLES)
def rename(slug: Slug, new: New, *, voices_dir: VoicesDir = None, json: Json = False) -> None:
    """Give a voice another name."""
    from lib.voice_synth.library_changes import rename as rename_voice  # noqa: PLC0415 - --help need not pay for it

    document = rename_voice(voices_directory(voices_dir), slug, new)
    output = Output(as_json=json)
    if json:
        output.document({"renamed": slug, "voice": document.model_dump()})
        return
    output.data(f"{slug} is {new} now")
