"""Which engines there are, by name, in the order in which they are asked. Another is one module and one line here.

Making an engine is cheap and imports no model; `load` is what costs. Not even the adapters are imported before their
engine is made, so that `job-runner --help` knows nothing of them.
"""

from __future__ import annotations

import difflib
import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from lib.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.voice_synth.engines.base import SpeechEngine

DEFAULT_ENGINE: Final = "hibari"


def _lazily(module: str, name: str) -> Callable[[], SpeechEngine]:
    def make() -> SpeechEngine:
        adapter = importlib.import_module(f"lib.voice_synth.engines.{module}")
        engine: SpeechEngine = getattr(adapter, name)()
        return engine

    return make


# The order: what every machine has and speaks best; then natural voices on a processor, then those that want a
# graphics card, then the one that speaks a hundred languages like a machine.
ENGINES: Final[Mapping[str, Callable[[], SpeechEngine]]] = MappingProxyType(
    {
        "hibari": _lazily("hibari", "HibariEngine"),
        "piper": _lazily("piper", "PiperEngine"),
        "qwen": _lazily("qwen", "QwenEngine"),
        "espeak": _lazily("espeak", "EspeakEngine"),
    }
)


CLOUD_ENGINE: Final = "gemini"
"""Speaks where a job runs on the cloud, and on no machine: it needs a watcher that makes the calls."""


class UnknownEngineError(PermanentError):
    """An engine that nobody has: the command line was wrong, not the synthesis."""

    exit_code: ClassVar[int] = 2


def make_engine(name: str) -> SpeechEngine:
    """A new engine of this name, not loaded; `PermanentError` with the near names when there is none."""
    make = ENGINES.get(name)
    if name == CLOUD_ENGINE:
        raise UnknownEngineError(
            f"no speech engine is named {name!r} on this machine",
            hint="it speaks on the cloud: enqueue the job, with backend: cloud to have it run there alone",
        )
    if make is None:
        near = difflib.get_close_matches(name, ENGINES, n=3, cutoff=0.4) or list(ENGINES)
        raise UnknownEngineError(f"no speech engine is named {name!r}", hint=f"engines here: {', '.join(near)}")
    return make()
