"""The speech engines of one child, loaded when a body first asks and warm from then on, and the voices for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lib.capabilities.speech import WarmEngines
from lib.voice_synth.library import VoiceLibrary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.listening import Listener


def warm_engines() -> WarmEngines:
    """Engines by name, none loaded yet."""
    return WarmEngines(_make, _make_listener)


def _make(name: str) -> SpeechEngine:
    # A child that never speaks does not pay for what engines import.
    from lib.voice_synth.engines.registry import make_engine  # noqa: PLC0415

    return make_engine(name)


def _make_listener() -> Listener | None:
    from lib.voice_synth.listening import listener_here  # noqa: PLC0415 - as above

    return listener_here()


def voices_of(environ: Mapping[str, str]) -> VoiceLibrary:
    """The voices of the directory that the parent has named, each looked up when a job asks for it.

    A voice's files are checked against their digests before its first job here, not before each.
    """
    return VoiceLibrary(Path(environ["WATCHER_VOICES_DIR"]), check_files=True)
