"""The speech engines of one child, loaded when a body first asks and warm from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.capabilities.speech import WarmEngines

if TYPE_CHECKING:
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
