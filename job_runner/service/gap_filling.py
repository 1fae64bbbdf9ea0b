"""From what somebody typed to a gap-fill plan: files are read, the corpus is opened, mistakes are named by their flags.

It writes the manifest and the index of a JSONL corpus, and no annotation. The commands of `workflow gap-fill` call it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from job_runner.workflows.entries import Written, write_manifest
from job_runner.workflows.gap_fill import Found, GapFill
from lib.corpus.opening import open_corpus
from lib.corpus.places import CorpusPlaces, is_url
from lib.errors import InvalidInputError
from lib.jobqueue.annotating import AnnotatePayload
from lib.jobqueue.json_values import json_problems
from lib.jobqueue.problems import from_validation, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.corpus.answers import Annotation
    from lib.corpus.corpus import Corpus
    from lib.settings import Settings

_FLAGS: Final = {
    "corpus": "--corpus",
    "table": "--table",
    "id_field": "--id-field",
    "version": "--version",
    "prompt": "--prompt",
    "system": "--system",
    "answer_schema": "--schema",
    "max_output_tokens": "--max-output-tokens",
    "seed": "--seed",
}
_LARGEST_FILE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Planned:
    """What a scan found and what was written of it; `manifest` is None when there is nothing to do."""

    plan: GapFill
    found: Found
    manifest: Written | None

    def document(self) -> dict[str, Any]:
        """The JSON of `workflow gap-fill plan`."""
        written = self.manifest
        return {
            "corpus": self.plan.corpus,
            "table": self.plan.table or None,
            "version": self.plan.version,
            **self.found.document(),
            "manifest": None if written is None else str(written.path),
            "plan": self.plan.plan,
            "entries": 0 if written is None else written.entries,
            "written": written is not None and written.fresh,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A corpus as it was typed."""

    corpus: str
    table: str
    id_field: str

    @property
    def path(self) -> Path | None:
        """Its file; None for a server."""
        if is_url(self.corpus) and not self.corpus.startswith("sqlite:"):
            return None
        return Path(self.corpus.partition(":///")[2] if is_url(self.corpus) else self.corpus).expanduser()

    def location(self, settings: Settings) -> str:
        """How a job names it.

        Raises:
            InvalidInputError: no job may name it.

        """
        return CorpusPlaces.of(settings).location_of(self.corpus)

    def is_known(self, settings: Settings) -> bool:
        """Whether a watcher with these settings would reach it."""
        location = self.location(settings)
        if not is_url(location):
            return True
        try:
            CorpusPlaces.of(settings).database(location)
        except InvalidInputError:
            return False
        return True

    @contextlib.contextmanager
    def opened(self, settings: Settings) -> Iterator[Corpus]:
        """The corpus itself; a password that was typed is used, and goes no further."""
        places = CorpusPlaces.of(settings)
        location = places.location_of(self.corpus)
        if is_url(self.corpus) and "@" in self.corpus and ":" in self.corpus.partition("://")[2].partition("@")[0]:
            places = CorpusPlaces(places.root, self.corpus)
        corpus = open_corpus(places, location, table=self.table, id_field=self.id_field)
        try:
            yield corpus
        finally:
            corpus.close()


def text_of(path: Path, flag: str) -> str:
    """A file of text without the line break at its end.

    Raises:
        InvalidInputError: it is not there, no text, empty, or far too large.

    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except OSError as exc:
        raise InvalidInputError(f"{flag} {path} cannot be read: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"{flag} {path} is not UTF-8", hint="save it as UTF-8 text") from exc
    if not text.strip() or len(content) > _LARGEST_FILE:
        said = "is empty" if not text.strip() else f"is larger than {_LARGEST_FILE} bytes"
        raise InvalidInputError(f"{flag} {path} {said}")
    return text


def schema_of(path: Path) -> dict[str, Any]:
    """The JSON schema in a file.

    Raises:
        InvalidInputError: it is no JSON object. Whether it is a sound schema is checked with the rest of the plan.

    """
    try:
        schema = json.loads(text_of(path, "--schema"))
    except (ValueError, RecursionError) as exc:
        raise InvalidInputError(f"--schema {path} is no JSON: {exc}", hint="write a JSON schema as one object") from exc
    if not isinstance(schema, dict):
        raise InvalidInputError(f"--schema {path} is no JSON object", hint='begin with {"type": "object", …')
    if not isinstance(schema.get("$schema", ""), str):
        raise InvalidInputError(
            f"--schema {path}: $schema is {shown(schema['$schema'])}, which is no text",
            hint="leave it out, or write the URI of a version of JSON schema",
        )
    problem = next(json_problems(schema, "answer_schema"), None)
    if problem is not None:
        raise InvalidInputError(f"--schema {path} {problem.message}")
    return schema


def checked(plan: GapFill) -> GapFill:
    """The plan, if its jobs will be accepted.

    Raises:
        InvalidInputError: naming every flag that is wrong.

    """
    try:
        AnnotatePayload.model_validate(plan.payload(["r"]))
    except ValidationError as exc:
        said = []
        for problem in from_validation(exc, AnnotatePayload.model_fields):
            name, dot, rest = problem.field.partition(".")
            said.append(f"{_FLAGS.get(name, name)}{dot}{rest}: {problem.message}")
        raise InvalidInputError("; ".join(said)) from exc
    return plan


def plan_gaps(corpus: Corpus, plan: GapFill, out: Path, *, force: bool) -> Planned:
    """Scan the corpus and write the manifest, unless there is nothing to do; blocks.

    Raises:
        InvalidJobsError: lines or rows of the corpus are wrong; all of them are named, and nothing is written.
        RefusedError: another plan stands at `out`.

    """
    found = Found()
    corpus.records.check()
    entries = plan.entries(corpus.pages(plan.version), found)
    first = next(entries, None)
    if first is None:
        return Planned(plan, found, None)
    return Planned(plan, found, write_manifest(out, plan.plan, chain([first], entries), force=force))


def exported(corpus: Corpus, version: str) -> Iterator[str]:
    """Each annotation of a version as a line of JSON."""
    for row in corpus.annotations.rows(version):
        yield json.dumps(_exported(row), ensure_ascii=False)


def _exported(row: Annotation) -> dict[str, Any]:
    return {
        "id": row.record_id,
        "version": row.version,
        "annotation": row.annotation,
        "model": row.model,
        "job": row.job,
        "annotated_at": row.annotated_at,
    }
