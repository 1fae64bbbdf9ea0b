"""`job-runner workflow`: the planners, each a group of its own that is imported when it is asked for."""

import importlib
from typing import Final

import typer

from lib.command_line.groups import lazy_group

WORKFLOWS: Final[dict[str, str]] = {
    "system-test": "Jobs that try out the machine: debug, sleep, crud and mixtures.",
    "stress": "Ten naps of 90 to 150 s, for a free machine and a cloud with a limit.",
    "gap-fill": "Annotations for the records of a corpus that have none of a version yet.",
}

EXAMPLES: Final = """\b
Examples:
  job-runner workflow system-test plan --mode crud --count 50
  job-runner workflow stress plan
  job-runner dispatch manifests/crud_test.jsonl --target backlog:crud
  job-runner verify manifests/crud_test.jsonl

A plan is a manifest: a file with one task a line. The same plan with the same seed gives the same file.
"""


def _load(name: str) -> typer.Typer:
    module = importlib.import_module(f"job_runner.cli.workflow_{name.replace('-', '_')}")
    found: typer.Typer = module.app
    return found


app = typer.Typer(
    cls=lazy_group(WORKFLOWS, _load), add_completion=False, rich_markup_mode=None, no_args_is_help=True, epilog=EXAMPLES
)


@app.callback(epilog=EXAMPLES)
def workflow() -> None:
    """Plan work of a known kind, as a manifest to dispatch."""
