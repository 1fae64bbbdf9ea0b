"""`voice-synth capabilities`: what the engines can do on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from lib.voice_synth.cli.options import Json  # noqa: TC001  Typer reads the annotations when it runs
from lib.voice_synth.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  voice-synth capabilities
  voice-synth capabilities --json | jq -c '.engines[] | [.engine, .usable]'

Nothing is loaded and nothing is downloaded for it.
"""

_NAMED: int = 8

_INDENT: int = 13
"""Where the second column begins."""


@app.command("capabilities", epilog=EXAMPLES)
def capabilities(*, json: Json = False) -> None:
    """Show what each engine can do here, or why it cannot."""
    from lib.voice_synth.library_facts import capabilities_here  # noqa: PLC0415 - --help need not pay for it

    found = capabilities_here()
    output = Output(as_json=json)
    if json:
        output.document(found)
        return
    for engine in found["engines"]:
        for line in _lines(engine):
            output.sentence(line, indent=_INDENT)
        output.data()
    qa = found["qa"]
    heard = f"by a recogniser ({qa['language']})" if qa["usable"] else f"by level and pace alone: {qa['why_not']}"
    output.data(f"takes are ranked {heard}")


def _lines(engine: Mapping[str, Any]) -> list[str]:
    lines = [f"{engine['engine']}: {'ready' if engine['usable'] else 'not here'}"]
    if not engine["usable"]:
        lines.append(f"  why        {engine['why_not']}")
    else:
        lines.append(f"  version    {engine['version']}")
        lines.append(f"  languages  {_some(engine['languages'])}")
    lines.append(f"  voices     {_some(engine['voices'])}")
    if engine["speakers"]:
        lines.append(f"  speakers   {_some(engine['speakers'])}")
    if engine["controls"]:
        lines.append(f"  obeys      {', '.join(engine['controls'])}")
    if engine["sample_rate"]:
        lines.append(f"  rate       {engine['sample_rate']} Hz")
    takes = [
        f"{part['role']} ({part['what']}{'' if part['required'] else '; optional'})" for part in engine["voice_parts"]
    ]
    if takes:
        lines.append(f"  register   {', '.join(takes)}")
    return lines


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none of its own"
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
