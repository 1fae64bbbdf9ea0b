"""From an output name to a path below its root, for readers and writers that need a `Path`.

It answers what stood on the disk at the time of asking. A writer that must not lose a race against somebody who
swaps a directory for a symlink opens part by part instead, as `lib.stores.directories` does.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lib.errors import InvalidInputError
from lib.jobqueue.output_names import output_name_problem

if TYPE_CHECKING:
    from pathlib import Path


def safe_join(root: Path, output_name: str) -> Path:
    """`root/output_name` with `root` resolved; nothing on the way below the root may be a symlink.

    The place need not exist. Blocks for one stat a part.

    Raises:
        InvalidInputError: the name is not allowed, or a part of it is a symlink or stands below a file.
        OSError: the disk did not answer.
    """
    problem = output_name_problem(output_name)
    if problem is not None:
        raise InvalidInputError(f"output_name {output_name!r} {problem}")
    # The root itself may be a symlink: that is its owner's choice.
    place = root.resolve()
    parts = output_name.split("/")
    for at, part in enumerate(parts, start=1):
        place /= part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return place.joinpath(*parts[at:])
        except NotADirectoryError:
            raise InvalidInputError(
                f"output_name {output_name!r} leads through a file, {'/'.join(parts[: at - 1])!r}",
                hint="choose another output_name",
            ) from None
        if stat.S_ISLNK(mode):
            raise InvalidInputError(
                f"output_name {output_name!r} leads through a symlink, {'/'.join(parts[:at])!r}",
                hint="remove the symlink or choose another output_name",
            )
    return place
