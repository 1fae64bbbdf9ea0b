"""A manifest that somebody hands in, checked as a whole before anything is run.

It may have been written by anybody: nothing in it names another program, a place outside its folder, or a flag that a
compiled job cannot have. Whether the texts are still those that were compiled is asked job by job, when each is run.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from lib.errors import InvalidInputError
from lib.jobqueue import InvalidJobError, normalize_job_spec
from lib.jobqueue.problems import from_validation, shown
from lib.manifest.command_lines import call_of, source_key_of
from lib.manifest.documents import MANIFEST, Manifest, ManifestJob
from lib.manifest.places import below, collisions, own_name_problem, paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.voice_synth.cli.speak import SpeakCall

# Some 300 000 jobs, as many as a job file of the default limit holds.
MAX_BYTES: Final = 256 << 20
_MOST_SAID: Final = 20
_FIELDS: Final = tuple({**Manifest.model_fields, **ManifestJob.model_fields})


@dataclass(frozen=True, slots=True)
class CheckedManifest:
    """A sound manifest: `calls` are its command lines in the order of its jobs, `folder` is where its paths begin."""

    folder: Path
    run_id: str
    jobs: tuple[tuple[ManifestJob, SpeakCall], ...]


def read_manifest(path: Path) -> CheckedManifest:
    """Read and check `path`, a manifest or the folder of one.

    Raises:
        InvalidInputError: naming what is wrong with it, twenty things at most.

    """
    path = path / MANIFEST if path.is_dir() else path
    manifest = read_document(path)
    folder = path.resolve().parent
    problems: list[str] = list(_doubled(manifest))
    jobs: list[tuple[ManifestJob, SpeakCall]] = []
    for at, job in enumerate(manifest.jobs):
        try:
            jobs.append((job, _checked(job, folder)))
        except InvalidInputError as exc:
            problems.append(f"jobs[{at}] ({shown(job.request_id)[1:-1]}): {exc.message}")
    _raise_if(path, problems)
    return CheckedManifest(folder, manifest.run_id, tuple(jobs))


def read_document(path: Path) -> Manifest:
    """The document alone, its fields of the right types.

    Raises:
        InvalidInputError: it is missing, no JSON, or no manifest.

    """
    loaded = _loaded(path)
    try:
        return Manifest.model_validate(loaded)
    except ValidationError as exc:
        _raise_if(path, [str(problem) for problem in from_validation(exc, _FIELDS)])
        raise


def _loaded(path: Path) -> Any:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInputError(f"{path} is no file", hint="name a manifest.json, or the folder of one")
        if status.st_size > MAX_BYTES:
            raise InvalidInputError(f"{path} is {status.st_size} bytes; at most {MAX_BYTES} are read")
        return json.loads(path.read_bytes(), object_pairs_hook=_unique, parse_constant=_refused)
    except OSError as exc:
        raise InvalidInputError(
            f"{path}: {exc.strerror}", hint="`job-runner compile` writes a manifest.json into a folder"
        ) from exc
    except (ValueError, RecursionError) as exc:
        said = "it is nested too deeply" if isinstance(exc, RecursionError) else exc
        raise InvalidInputError(f"{path} is no manifest: {said}", hint="compile it again") from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _doubled(manifest: Manifest) -> Iterator[str]:
    """Names that two jobs share, and places that lie on another job's files."""
    for name in ("request_id", "output_name"):
        first: dict[str, int] = {}
        for at, job in enumerate(manifest.jobs):
            value = getattr(job, name)
            if first.setdefault(value, at) != at:
                yield f"jobs[{at}].{name}: {shown(value)} stands in jobs[{first[value]}] too"
    for place, above in collisions(job.output_name for job in manifest.jobs):
        yield f"output_name {shown(place)} is the name of a file of the job at {shown(above)}"


def _checked(job: ManifestJob, folder: Path) -> SpeakCall:
    """The job's call.

    Raises:
        InvalidInputError: a path leads elsewhere, or the command line is not one of a compiled job.

    """
    if said := own_name_problem(job.output_name):
        raise InvalidInputError(f"output_name {said}")
    below(folder, job.output_name)
    call = call_of(job.argv)
    given = {
        "out_exact": call.out_exact,
        "text_file": call.text_file,
        "json_result": call.json_result,
    }
    for name, wanted in paths_of(job.output_name).items():
        for value, where in ((getattr(job, name), name), (str(given[name]), f"--{name.replace('_', '-')} in argv")):
            if value != wanted:
                raise InvalidInputError(f"{where} is {shown(value)}; below the manifest's folder it must be {wanted!r}")
    try:
        spec = normalize_job_spec({**call.row, "text": "unread", "request_id": job.request_id})
    except InvalidJobError as exc:
        raise InvalidInputError(f"argv: {exc.message}") from exc
    if job.source_key != source_key_of(spec.voice, spec.speaker):
        raise InvalidInputError(f"source_key is {shown(job.source_key)}, which is not what argv names")
    return call


def _raise_if(path: Path, problems: list[str]) -> None:
    if not problems:
        return
    said = problems[:_MOST_SAID]
    if len(problems) > len(said):
        said.append(f"and {len(problems) - len(said)} more")
    raise InvalidInputError(
        "\n".join([f"{path} is not executed, it is not sound:", *(f"  {line}" for line in said)]),
        hint="compile it again with `job-runner compile`",
    )
