"""Where each job's files stand below the manifest's folder, and which jobs would stand in each other's way.

One job, one directory: `<output_name>/`, with its text, its takes and its result. Pure, but for `below`, which asks the
disk.
"""

from __future__ import annotations

import hashlib
import re
import stat
from typing import TYPE_CHECKING, Final

from lib.errors import InvalidInputError
from lib.jobqueue.output_names import output_name_problem
from lib.manifest.documents import OWN_NAMES, RESULT, TEXT
from lib.stores.paths import safe_join

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lib.jobqueue import JobSpec

_STRANGE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARACTERS: Final = 100
# A file that speaking writes into a job's directory, so that no other job's directory may have its name.
_FILE_NAME: Final = re.compile(
    r"(?:text\.txt|result\.json|takes\.meta\.json|best\.wav|take_\d{2,}\.wav)", re.IGNORECASE
)
# The name that such a file has until it is whole.
_PARTIAL: Final = re.compile(r"\.(.+)\.part", re.IGNORECASE)


def place_of(spec: JobSpec) -> str:
    """The job's output_name, or one made of its request_id.

    Where a request_id is derived `/` becomes `:`, so here `:` becomes `/`; an id that makes no sound path that way gets
    a plain name with a hash, so that two ids never share one.
    """
    if spec.output_name is not None:
        return spec.output_name
    wanted = spec.request_id.replace(":", "/")
    if output_name_problem(wanted) is None and own_name_problem(wanted) is None:
        return wanted
    plain = _STRANGE.sub("_", spec.request_id).strip("._")[:_NAME_CHARACTERS]
    digest = hashlib.sha256(spec.request_id.encode()).hexdigest()[:12]
    return f"{plain or 'job'}-{digest}"


def paths_of(place: str) -> dict[str, str]:
    """The paths of a manifest's job, by field."""
    return {"out_exact": place, "text_file": f"{place}/{TEXT}", "json_result": f"{place}/{RESULT}"}


def own_name_problem(place: str) -> str | None:
    """Why this place is the folder's own, or None."""
    first, *_ = parts = place.split("/")
    if _whole_name(first).casefold() in OWN_NAMES:
        return f"begins with {first!r}, a file that stands beside the jobs; choose another"
    for part in parts:
        if _whole_name(part) != part and _FILE_NAME.fullmatch(_whole_name(part)):
            return f"has a part {part!r}, the name of a job's file while it is written; choose another"
    return None


def _whole_name(name: str) -> str:
    """The name that a file gets once it is whole; of any other its own."""
    partial = _PARTIAL.fullmatch(name)
    return partial[1] if partial else name


def collisions(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each place that is, or lies below, a file of another job, with that other job's place."""
    known = frozenset(places)
    for place in sorted(known):
        parts = place.split("/")
        for at in range(1, len(parts)):
            above = "/".join(parts[:at])
            if above in known and _FILE_NAME.fullmatch(parts[at]):
                yield place, above


def check_files(directory: Path, place: str) -> None:
    """Speaking writes into the job's directory; what has the name of one of its files must be a file.

    Raises:
        InvalidInputError: it is something else, as a pipe, which would be waited for, or a directory.
        OSError: the disk did not answer.

    """
    for entry in directory.iterdir():
        if _FILE_NAME.fullmatch(_whole_name(entry.name)) and not stat.S_ISREG(entry.lstat().st_mode):
            raise InvalidInputError(
                f"{place}/{entry.name} is no regular file, and a file of that name is written here", hint="remove it"
            )


def below(folder: Path, place: str) -> Path:
    """The job's directory on the disk, which need not exist; blocks for a few stats.

    Raises:
        InvalidInputError: a symlink or a file stands on the way, or a symlink in it could lead a file elsewhere.

    """
    directory = safe_join(folder, place)
    try:
        entries = list(directory.iterdir())
    except FileNotFoundError:
        return directory
    except NotADirectoryError:
        raise InvalidInputError(f"{place} is a file; it must be a directory", hint="remove it") from None
    for entry in entries:
        if entry.is_symlink():
            raise InvalidInputError(f"{place}/{entry.name} is a symlink, which may lead elsewhere", hint="remove it")
    return directory
