"""`voice-synth import`: a voice out of one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lib.voice_synth.cli.options import Json, VoicesDir  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth import anna.zip
  voice-synth import anna.zip --as anna-too
  voice-synth import anna.zip --replace

Only what `voice-synth export` has made is taken: names, sizes and digests are checked before the voice appears, and
of a file that is refused nothing is left.
"""

Archive = Annotated[Path, typer.Argument(metavar="FILE.zip", help="What export has made.")]
As = Annotated[str | None, typer.Option("--as", metavar="SLUG", help="Another name for it.", show_default=False)]
Replace = Annotated[bool, typer.Option("--replace", help="Also if a voice of this name is there: it goes.")]


@app.command("import", epilog=EXAMPLES)
def import_zip(
    archive: Archive, *, slug: As = None, replace: Replace = False, voices_dir: VoicesDir = None, json: Json = False
) -> None:
    """Take a voice from a zip archive that `export` has made."""
    from lib.voice_synth.library_zip import import_voice  # noqa: PLC0415 - --help need not pay for it

    document = import_voice(voices_directory(voices_dir), archive, slug=slug, replace=replace)
    output = Output(as_json=json)
    if json:
        output.document({"voice": document.model_dump()})
        return
    output.data(f"{document.slug}: {', '.join(sorted(document.engines))}")
