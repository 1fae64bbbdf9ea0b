"""`voice-synth list-speakers`: what a job's `speaker` may be, and who that is here."""

from __future__ import annotations

import typer

from lib.voice_synth.cli.options import Json  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth list-speakers
  voice-synth list-speakers --json | jq -c '.speakers[] | [.speaker, .engine]'

A speaker that no engine here has is spoken by a stand-in, at a pace of its own; the result of a job says so.
"""


@app.command("list-speakers", epilog=EXAMPLES)
def list_speakers(*, json: Json = False) -> None:
    """List the speakers that a job may name, and who really speaks here."""
    from lib.voice_synth.library_facts import speakers_here  # noqa: PLC0415 - --help need not pay for it

    speakers = speakers_here()
    output = Output(as_json=json)
    if json:
        output.document({"speakers": speakers})
        return
    rows = []
    for each in speakers:
        who = each["why_not"] or (f"stand-in: {each['voice']} x{each['speed']:g}" if each["stand_in"] else "itself")
        rows.append((each["speaker"], each["engine"] or "-", who))
    output.table(("SPEAKER", "ENGINE", "WHO SPEAKS"), rows)
