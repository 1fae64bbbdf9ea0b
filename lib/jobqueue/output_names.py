"""Which output names are allowed: names that stay below their root on any disk or object store.

Pure: it looks at the name only. Whether a symlink already stands on the way is a question to the disk, answered by
`lib.stores.paths.safe_join`. Called by the job's model and by whoever turns a name into a path.
"""

from __future__ import annotations

import re
from typing import Final

MAX_NAME_BYTES: Final = 512
# The limit of one path component on ext4, xfs, APFS and NTFS alike.
MAX_PART_BYTES: Final = 255

PLAIN_NAME: Final = r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*"
"""Almost every name is of this kind; up to `MAX_PART_BYTES` long, such a one is always allowed."""

_PLAIN: Final = re.compile(PLAIN_NAME)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Names that `lib.stores` uses for itself below the output root: found out at submit, not after the synthesis.
_RESERVED: Final = frozenset({".store", ".published.json"})
_RESERVED_PREFIX: Final = ".tmp-"
# An escape may be decoded by a browser, a proxy or an object store on the way, and then be a dot or a slash.
_PERCENT_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")


def has_control_character(text: str) -> bool:
    """Whether a C0 or C1 control character, NUL included, stands in it."""
    return _CONTROL.search(text) is not None


def output_name_problem(name: str) -> str | None:  # noqa: PLR0911  one return a rule reads best
    """What is wrong with this output name and how to mend it, or None."""
    # Almost every name is of this kind, and a file may hold a million.
    if len(name) <= MAX_PART_BYTES and _PLAIN.fullmatch(name):
        return None
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "holds a lone surrogate, which no file name can hold; remove it"
    if not name.strip():
        return "is blank; write a relative name such as topic/beat-001"
    if size > MAX_NAME_BYTES:
        return f"is {size} bytes long; at most {MAX_NAME_BYTES} are allowed"
    if not name.isprintable():
        return "holds a control or invisible character; remove it"
    if "\\" in name:
        return "holds a backslash; separate its parts by /"
    if name.startswith("/"):
        return "must be relative; remove the leading /"
    if name.endswith("/"):
        return "ends with /; remove it"
    if _PERCENT_ESCAPE.search(name):
        return "holds a percent escape such as %2e; write the character itself"
    return _part_problem(name)


def _part_problem(name: str) -> str | None:
    for part in name.split("/"):
        if not part.strip():
            return "has an empty part; write a name between the slashes"
        if part in {".", ".."}:
            return f"has a part {part!r}; name the place below the output root directly"
        # casefold: on a case-insensitive disk `.Store` is the store.
        if part.casefold() in _RESERVED or part.casefold().startswith(_RESERVED_PREFIX):
            return f"has a part {part!r}, a name that the output root uses itself; choose another"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"has a part of more than {MAX_PART_BYTES} bytes, more than a file name can hold; shorten it"
    return None
