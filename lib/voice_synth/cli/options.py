"""The options and arguments that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal to ask on.")]
Slug = Annotated[str, typer.Argument(metavar="SLUG", help="A registered voice.", show_default=False)]
VoicesDir = Annotated[
    Path | None,
    typer.Option(
        "--voices-dir", metavar="DIR", help="Where voices are kept; wins over WATCHER_VOICES_DIR.", show_default=False
    ),
]
