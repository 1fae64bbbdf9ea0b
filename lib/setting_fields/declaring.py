"""How one environment variable is declared: how it is read, its default, its unit, and why it is so.

The groups beside this module declare with it; `lib.settings` reads what they declare.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

STATE_DIR: Final = "$JOBS_STATE_DIR"
"""In a default: the value of that variable."""


def variable(parse: Callable[[str], Any], default: str | None, *, unit: str, why: str, secret: bool = False) -> Any:
    """Declare one variable; `default` is text as it would stand in the environment, None when derived."""
    metadata = {"parse": parse, "default": default, "unit": unit, "why": why, "secret": secret}
    return field(metadata=metadata, repr=not secret)
