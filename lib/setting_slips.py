"""Variables that look like a setting and are none: most often a slip of the fingers, which nothing else would tell of.

Names alone are looked at and told; a value may be a secret. A program's `main` tells of them once, and `doctor` asks
for them. What other programs read is left alone: a name must be all but one of ours, or begin like none but ours.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from lib.settings import process_environment, variable_name, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS_ALONE: Final = ("JOBS_", "WATCHER_", "QWEN_TTS_")
"""How names begin that nobody else is likely to set."""

_SOMEBODY_ELSES: Final = frozenset({"OLLAMA_MODELS", "DATABASE_URI"})
"""Near to ours, and read by others: the folder of Ollama's models, and what web frameworks call their database."""

_SLIP: Final = 0.85
"""How much of a name must be right, of those that may be anybody's: two letters of nine may be swapped."""

_SLIP_OF_OURS: Final = 0.8


def misspelt(environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Each such variable and the setting that was meant, by name; None looks at the environment over `.env`.

    A name that may be anybody's counts only while the setting itself is not set.
    """
    given = process_environment() if environ is None else environ
    known = [variable_name(variable) for variable in variables()]
    unset = [name for name in known if name not in given]
    found = []
    for name in sorted(given.keys() - set(known) - _SOMEBODY_ELSES):
        ours = name.startswith(_OURS_ALONE)
        near = difflib.get_close_matches(name, known if ours else unset, n=1, cutoff=_SLIP_OF_OURS if ours else _SLIP)
        if near:
            found.append((name, near[0]))
    return found
