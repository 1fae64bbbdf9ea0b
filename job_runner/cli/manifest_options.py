"""What `dispatch` and `verify` take alike: a manifest, and another name for its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.advice import typed
from lib.errors import InvalidInputError

Manifest = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A task manifest, JSON lines.", show_default=False)]
Plan = Annotated[
    str | None, typer.Option("--plan", metavar="NAME", help="Another name for its plan.", show_default=False)
]


def checked_plan(plan: str | None) -> str | None:
    """The name as given; InvalidInputError for one that cannot be part of a request_id."""
    if plan is not None and (not plan.strip() or ":" in plan or not plan.isprintable()):
        raise InvalidInputError(f"--plan {plan!r} is no name of a plan", hint="use letters, digits, '-', '_' and '.'")
    return plan


def named(file: Path, target: str | None, plan: str | None) -> str:
    """The manifest and what names its jobs, as one types it."""
    words: list[object] = [file]
    words += ["--target", target] if target is not None else []
    words += ["--plan", plan] if plan is not None else []
    return typed(words)
