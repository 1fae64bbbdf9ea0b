"""Which engines there are, by name. Another engine is one module beside this one and one line here.

Making an engine is cheap and imports no model; `load` is what costs.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lib.errors import PermanentError
from lib.voice_synth.engines.hibari import HibariEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.voice_synth.engines.base import SpeechEngine

DEFAULT_ENGINE: Final = "hibari"

ENGINES: Final[Mapping[str, Callable[[], SpeechEngine]]] = MappingProxyType({"hibari": HibariEngine})


def make_engine(name: str) -> SpeechEngine:
    """A new engine of this name, not loaded; `PermanentError` with the near names when there is none."""
    make = ENGINES.get(name)
    if make is None:
        near = difflib.get_close_matches(name, ENGINES, n=3, cutoff=0.4) or sorted(ENGINES)
        raise PermanentError(f"no speech engine is named {name!r}", hint=f"engines here: {', '.join(near)}")
    return make()
