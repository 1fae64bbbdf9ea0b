"""The search that is sent to Vast.ai: VAST_QUERY, and what it does not say itself. Pure.

`vastai search offers` looks at machines that are verified, rentable and not external, whatever a query says of other
things. We add that nobody rents them now, that the disk is large enough, and the price that may be paid; a query that
names one of these fields has its own way in it. What it names wrongly is told before anything is sent: the vendor's
library only prints a warning, and the market then finds nothing.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from lib.errors import SettingsError
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Collection

    from lib.market.base import HostWants

_FIELD: Final = re.compile(
    r"([A-Za-z0-9_]+)(?: *[=><!]+| +(?:[lg]te?|nin|neq|eq|not ?eq|not ?in|in) )( *)(?:\[[^\]]+\]|\"[^\"]+\"|[^ ]+)"
)

_DIRECTIVES: Final = frozenset({"georegion", "chunked"})
"""The library takes them out of a query, and with them whatever stands behind a decimal point or a bracket."""

_PRICES: Final = frozenset({"dph", "dph_total"})


def search_query(wants: HostWants) -> str:
    """The whole query. An interruptible machine has no price but the bid, which the market's `dph` knows too."""
    named = named_fields(wants.query)
    parts = [wants.query] if wants.query else []
    if "rented" not in named:
        parts.append("rented=false")
    if "disk_space" not in named:
        parts.append(f"disk_space>={wants.disk_gb:g}")
    if not named & _PRICES:
        parts.append(f"dph<={wants.max_dph / MICRO:g}")
    return " ".join(parts)


def named_fields(query: str) -> frozenset[str]:
    """The fields that a query compares."""
    return frozenset(found[1] for found in _FIELD.finditer(query))


def check_query(query: str, fields: Collection[str], why: str = "") -> None:
    """Refuse a query that would not find what it means. `fields` are those of the market; `why` what its parser said.

    Raises:
        SettingsError: names the field and the nearest one that there is.
    """
    for name in sorted(named_fields(query)):
        if name in _DIRECTIVES:
            raise SettingsError(
                f"VAST_QUERY: {name} is not understood here", hint="name the countries: geolocation in [DE,FR,NL]"
            )
        if name not in fields:
            near = difflib.get_close_matches(name, sorted(fields), n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise SettingsError(
                f"VAST_QUERY: {name} is no field of an offer", hint=f"{meant}see `vastai search offers --help`"
            )
    if why:
        raise SettingsError(
            f"VAST_QUERY is not understood: {why}",
            hint="such as gpu_name=RTX_4090 reliability>0.98; a space within a value is written _",
        )
