"""The options and arguments that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RedisUrl = Annotated[
    str | None,
    typer.Option("--redis-url", metavar="URL", help="Redis to talk to; wins over REDIS_URL.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No messages on stderr, only errors.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colour; NO_COLOR in the environment does the same.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal to ask on.")]

AnyVoice = Annotated[
    bool, typer.Option("--any-voice", help="Take voices that are unknown here: the watcher's machine may have them.")
]

JobFiles = Annotated[
    list[Path],
    typer.Argument(metavar="YAML", help="Job files.", show_default=False),
]
RequestId = Annotated[str, typer.Argument(metavar="ID", help="The request_id.", show_default=False)]
RequestIds = Annotated[
    list[str],
    typer.Argument(metavar="ID", help="Request ids.", show_default=False),
]
