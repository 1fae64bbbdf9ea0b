"""Jobs into a folder: each text as a file, and the manifest last, so that a manifest never names what is not there.

Compiling again into the same folder replaces the manifest. Texts of jobs that are gone are removed, unless audio was
made beside them: what was made is never deleted here. Blocks on disk; called by `job_runner.service.offline`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lib.errors import InvalidInputError
from lib.jobqueue import FieldProblem
from lib.jobqueue.problems import from_validation
from lib.manifest import folder as folders
from lib.manifest.command_lines import argv_of, source_key_of
from lib.manifest.documents import MANIFEST, SCHEMA_VERSION, TEXT, Manifest, ManifestJob, run_id_of
from lib.manifest.places import below, collisions, own_name_problem, paths_of, place_of
from lib.manifest.reading import read_document

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lib.jobqueue import JobSpec


@dataclass(frozen=True, slots=True)
class Compiled:
    """What was written. `removed` are the texts of an earlier compile that were taken away."""

    run_id: str
    job_count: int
    manifest: Path
    removed: int = 0

    def document(self) -> dict[str, Any]:
        """The JSON of `compile`."""
        return {"run_id": self.run_id, "job_count": self.job_count, "manifest": str(self.manifest)}


def problems_of(spec: JobSpec) -> tuple[FieldProblem, ...]:
    """Why this job cannot be compiled; empty when it can."""
    if spec.text is None:
        return (
            FieldProblem(
                "task", f"is {spec.task}; without a queue only speak jobs run: take it out, or use `job-runner enqueue`"
            ),
        )
    if spec.output_name is not None and (said := own_name_problem(spec.output_name)):
        return (FieldProblem("output_name", said),)
    return ()


def compile_jobs(jobs: Iterable[JobSpec], out: Path, *, run_id: str | None = None) -> Compiled:
    """Write the folder `out`, made if need be. The jobs' request_ids and places differ from each other.

    Raises:
        InvalidInputError: jobs stand in each other's way, or `out` cannot be written or leads elsewhere by a symlink.
        RefusedError: another program is at work there, or the disk is full.

    """
    if run_id is not None:
        _check_run_id(run_id)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InvalidInputError(f"{out}: {exc.strerror}", hint="name a directory that can be made") from exc
    with folders.held(out):
        entries: list[ManifestJob] = []
        for spec in jobs:
            entry = entry_of(spec)
            entries.append(entry)
            _write_text(out, entry, spec.text or "")
        entries.sort(key=lambda entry: entry.order)
        for place, above in collisions(entry.output_name for entry in entries):
            raise InvalidInputError(
                f"output_name {place!r} is the name of a file of the job at {above!r}",
                hint="choose another output_name",
            )
        earlier = _earlier_places(out)
        manifest = Manifest(schema_version=SCHEMA_VERSION, run_id=run_id or run_id_of(entries), jobs=entries)
        folders.write_whole(out / MANIFEST, manifest.to_json())
        removed = _forget(out, earlier - {entry.output_name for entry in entries})
    return Compiled(manifest.run_id, len(entries), out / MANIFEST, removed)


def entry_of(spec: JobSpec) -> ManifestJob:
    """The job as a manifest names it."""
    place = place_of(spec)
    paths = paths_of(place)
    return ManifestJob(
        request_id=spec.request_id,
        content_hash=spec.content_hash,
        attempt=spec.attempt,
        source_key=source_key_of(spec.voice, spec.speaker),
        output_name=place,
        argv=argv_of(spec, **paths),
        **paths,
    )


def _check_run_id(run_id: str) -> None:
    try:
        Manifest(schema_version=SCHEMA_VERSION, run_id=run_id, jobs=[])
    except ValidationError as exc:
        said = from_validation(exc, Manifest.model_fields)[0].message
        raise InvalidInputError(f"--run-id {said}", hint="name the run, as monday-1") from exc


def _write_text(out: Path, entry: ManifestJob, text: str) -> None:
    directory = below(out, entry.output_name)
    content = text.encode()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / TEXT
        # What stands already is left, so that its time still says when the text changed.
        if path.is_file() and path.read_bytes() == content:
            return
    except OSError as exc:
        raise InvalidInputError(f"{exc.filename}: {exc.strerror}", hint="name a directory that can be written") from exc
    # Thousands of them: the content hash tells of one that a power cut has taken.
    folders.write_whole(path, content, durable=False)


def _earlier_places(out: Path) -> set[str]:
    """The places of the manifest that stands in `out`; of one that cannot be read nothing is removed."""
    try:
        manifest = read_document(out / MANIFEST)
    except InvalidInputError:
        return set()
    return {job.output_name for job in manifest.jobs}


def _forget(out: Path, places: set[str]) -> int:
    """Remove texts that stand alone, and the directories that are empty then."""
    removed = 0
    for place in sorted(places):
        try:
            directory = below(out, place)
            if [entry.name for entry in directory.iterdir()] != [TEXT]:
                continue
            (directory / TEXT).unlink()
            removed += 1
        except (OSError, InvalidInputError):
            continue  # gone already, or no place of ours any more
        with contextlib.suppress(OSError):
            while directory != out.resolve():
                directory.rmdir()
                directory = directory.parent
    return removed
