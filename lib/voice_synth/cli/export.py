"""`voice-synth export`: a voice as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lib.voice_synth.cli.options import Json, Slug, VoicesDir  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth export anna
  voice-synth export anna --out backup/anna.zip

The same voice gives the same bytes. `voice-synth import` takes the file on another machine.
"""

Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.zip", help="The file; SLUG.zip if not given. One that is there is replaced."),
]


@app.command("export", epilog=EXAMPLES)
def export(slug: Slug, *, out: Out = None, voices_dir: VoicesDir = None, json: Json = False) -> None:
    """Write a voice with its files to one zip archive."""
    from lib.voice_synth.library_zip import export_voice  # noqa: PLC0415 - --help need not pay for it

    file = out if out is not None else Path(f"{slug}.zip")
    document = export_voice(voices_directory(voices_dir), slug, file)
    size = file.stat().st_size
    output = Output(as_json=json)
    if json:
        output.document({"file": str(file), "bytes": size, "voice": document.model_dump()})
        return
    output.data(f"{file}\t{size} bytes")
