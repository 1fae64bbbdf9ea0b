"""`voice-synth delete`: a voice and its files, gone."""

from __future__ import annotations

import typer

from lib.voice_synth.cli.options import Json, Slug, VoicesDir, Yes  # noqa: TC001  Typer reads them when it runs
from lib.voice_synth.cli.output import Output
from lib.voice_synth.cli.places import voices_directory

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth delete anna
  voice-synth export anna && voice-synth delete anna --yes

Jobs that name it fail from then on, also those that wait in a queue.
"""


@app.command("delete", epilog=EXAMPLES)
def delete(slug: Slug, *, yes: Yes = False, voices_dir: VoicesDir = None, json: Json = False) -> None:
    """Delete a voice with its files, a broken one too."""
    from lib.voice_synth.library_changes import delete as delete_voice  # noqa: PLC0415 - --help need not pay for it
    from lib.voice_synth.library_changes import require_there  # noqa: PLC0415 - ditto

    directory = voices_directory(voices_dir)
    require_there(directory, slug)
    output = Output(as_json=json)
    output.confirm(f"delete the voice {slug} and its files in {directory / slug}?", yes=yes)
    delete_voice(directory, slug)
    if json:
        output.document({"deleted": slug})
        return
    output.data(f"{slug} is gone")
