"""`job-runner workflow gap-fill`: plan annotations for what lacks them, and hand out those that are there."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet
from job_runner.cli.planned_manifest import Force, Seed, tell_written
from job_runner.cli.tables import Table, counted
from job_runner.service.gap_filling import Planned, Wanted, checked, exported, plan_gaps, schema_of, text_of
from job_runner.workflows.entries import refuse_input
from job_runner.workflows.gap_fill import GapFill, place_of
from lib.command_line.output import Output
from lib.errors import InvalidInputError
from lib.jobqueue.annotating import MOST_RECORDS
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

EXAMPLES = """\b
Examples:
  job-runner workflow gap-fill plan --corpus examples/corpus/fables.jsonl \\
      --version v1 --schema examples/corpus/schema.json --prompt examples/corpus/prompt.txt
  job-runner dispatch manifests/gap_fill_v1.jsonl --target backlog:gap_fill
  job-runner verify manifests/gap_fill_v1.jsonl
  job-runner workflow gap-fill export --corpus examples/corpus/fables.jsonl --version v1

The corpus is a JSONL file below WATCHER_CORPUS_ROOT, or a table of an SQL database that the watchers reach too. Its
records are only read; the annotations go beside it. Planning again gives what is left, and leaves out what failed
before, unless --retry-failed asks for it. No Redis is needed.
"""

CorpusOption = Annotated[
    str,
    typer.Option(
        "--corpus", metavar="FILE|URL", help="A JSONL file, sqlite:///FILE or postgresql://….", show_default=False
    ),
]
TableOption = Annotated[
    str, typer.Option("--table", metavar="NAME", help="The table of the records, in a database.", show_default=False)
]
IdField = Annotated[
    str,
    typer.Option(
        "--id-field", metavar="NAME", help="The field that names a record.", show_default="id, or the primary key"
    ),
]
Version = Annotated[
    str, typer.Option("--version", metavar="NAME", help="The version of the annotations.", show_default=False)
]
SchemaFile = Annotated[
    Path, typer.Option("--schema", metavar="FILE", help="The JSON schema of an annotation.", show_default=False)
]
PromptFile = Annotated[
    Path, typer.Option("--prompt", metavar="FILE", help="The prompt, with {field} in it.", show_default=False)
]
SystemFile = Annotated[
    Path | None, typer.Option("--system", metavar="FILE", help="What the model is told first.", show_default=False)
]
Batch = Annotated[int, typer.Option("--batch", min=1, max=MOST_RECORDS, help="Records of a job.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Plan so many records at most.", show_default=False)]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Plan records too that failed before.")]
MaxOutputTokens = Annotated[
    int, typer.Option("--max-output-tokens", min=1, max=65_536, help="Length of an answer at most.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="The manifest to write.", show_default="manifests/gap_fill_VERSION.jsonl"
    ),
]


@app.callback(epilog=EXAMPLES)
def gap_fill() -> None:
    """Annotations for the records of a corpus that have none of a version yet."""


@app.command(epilog=EXAMPLES)
def plan(  # noqa: PLR0913 - one parameter a flag
    *,
    corpus: CorpusOption,
    table: TableOption = "",
    id_field: IdField = "",
    version: Version,
    schema: SchemaFile,
    prompt: PromptFile,
    system: SystemFile = None,
    batch: Batch = 20,
    limit: Limit = None,
    retry_failed: RetryFailed = False,
    max_output_tokens: MaxOutputTokens = 1024,
    seed: Seed = 1,
    out: Out = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Scan a corpus and write the manifest of what is left to annotate."""
    settings = Settings.load()
    wanted = Wanted(corpus=corpus, table=table, id_field=id_field)
    goes_to = place_of(version) if out is None else out
    inputs = {"--corpus": wanted.path, "--schema": schema, "--prompt": prompt, "--system": system}
    refuse_input(goes_to, {flag: path for flag, path in inputs.items() if path is not None})
    asked = checked(
        GapFill(
            corpus=wanted.location(settings),
            table=table,
            id_field=id_field,
            version=version,
            prompt=text_of(prompt, "--prompt"),
            system="" if system is None else text_of(system, "--system"),
            answer_schema=schema_of(schema),
            max_output_tokens=max_output_tokens,
            seed=seed,
            batch=batch,
            limit=limit,
            retry_failed=retry_failed,
        )
    )
    with wanted.opened(settings) as opened:
        planned = plan_gaps(opened, asked, goes_to, force=force)
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    if json:
        output.document(planned.document())
    else:
        _show(planned, output)
    for each in planned.found.unusable_first:
        output.warn(f"left out: {each}, which the prompt names")
    if planned.found.absent:
        names = ", ".join(f"{{{name}}}" for name in sorted(planned.found.absent))
        raise InvalidInputError(
            f"--prompt {prompt}: no record has what it names: {names}",
            hint=f"a record has: {', '.join(planned.found.fields)}",
        )
    if planned.found.none_fits:
        raise InvalidInputError(
            f"--prompt {prompt}: no record that is left has every field that it names",
            hint=f"a record has: {', '.join(planned.found.fields)}",
        )
    if not wanted.is_known(settings):
        output.warn("watchers reach this database only with DATABASE_URL set to it, password and all; here it is not")


@app.command(epilog=EXAMPLES)
def export(
    *,
    corpus: CorpusOption,
    table: TableOption = "",
    version: Version,
    no_color: NoColor = False,
) -> None:
    """Print the annotations of a version, a line of JSON each, in the order of the ids."""
    with Wanted(corpus=corpus, table=table, id_field="").opened(Settings.load()) as opened:
        Output(no_color=no_color).listing(exported(opened, version))


def _show(planned: Planned, output: Output) -> None:
    found = planned.found
    table = Table((f"RECORDS FOR {planned.plan.version}", "COUNT"), ("left", "right"), styled=0)
    for name, count in (
        ("annotated already", found.annotated),
        ("planned", found.planned),
        ("failed before, left out", found.failed_before),
        ("without a field of the prompt", found.unusable),
        ("beyond the limit", found.beyond_limit),
        ("in all", found.records),
    ):
        if count or name in {"annotated already", "planned", "in all"}:
            table.row(name, str(count))
    output.listing(table.lines(output.width, output.paint))
    output.data()
    if planned.manifest is None:
        nothing = "" if found.absent or found.none_fits else "nothing is left to plan; "
        output.data(f"{nothing}no manifest was written")
    else:
        tell_written(planned.manifest, "gap_fill", output)
    if found.failed_before:
        output.say(f"{counted(found.failed_before, 'record')} failed before; --retry-failed plans them again")
