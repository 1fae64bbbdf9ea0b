"""Speech as a task sees it: an engine by name, loaded once per process and kept warm.

It does not say which engines exist (`lib.voice_synth.engines.registry` does) nor which job gets which. A
watcher's child process holds one `WarmEngines` and gives it to each job's context; `voice-synth` makes its own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.listening import Listener


@dataclass(frozen=True, slots=True)
class WarmEngine:
    """An engine that is ready to speak. `load_seconds` is 0.0 when it was loaded already."""

    engine: SpeechEngine
    load_seconds: float


class SpeechEngines(Protocol):
    """Engines by name."""

    @property
    def only(self) -> str | None:
        """The one engine that speaks here, whoever could; None where each job gets the first that can."""

    def known(self, name: str) -> SpeechEngine:
        """The engine, loaded or not: to be asked what it can do, not to speak.

        Raises `PermanentError` for a name that no engine has.
        """

    def warm(self, name: str) -> WarmEngine:
        """The engine, loaded if it was not; blocks while it loads.

        Raises `PermanentError` for a name that no engine has or an engine that is not installed, and
        `TemporaryError` when loading failed for want of memory or disk.
        """

    def listener(self) -> Listener | None:
        """Somebody who hears what a take says, kept like the engines; None where none is installed."""


class WarmEngines:
    """Engines made by `make(name)` and kept for the life of the process.

    A lock is held while one loads, so that two callers never load a model twice; a load that failed is tried again by
    the next caller. Whoever only asks an engine waits for no load.
    """

    def __init__(
        self, make: Callable[[str], SpeechEngine], make_listener: Callable[[], Listener | None] = lambda: None
    ) -> None:
        self._make = make
        self._make_listener = make_listener
        self._listener: Listener | None = None
        self._made: dict[str, SpeechEngine] = {}
        self._making = threading.Lock()
        self._loaded: dict[str, SpeechEngine] = {}
        self._lock = threading.Lock()

    @property
    def only(self) -> None:
        """All may speak."""

    def known(self, name: str) -> SpeechEngine:
        """The engine of this name, made when it is first asked for."""
        with self._making:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def warm(self, name: str) -> WarmEngine:
        """The engine of this name, loaded."""
        with self._lock:
            engine = self._loaded.get(name)
            if engine is not None:
                return WarmEngine(engine, 0.0)
            began = time.perf_counter()
            engine = self.known(name)
            engine.load()
            self._loaded[name] = engine
            return WarmEngine(engine, time.perf_counter() - began)

    def listener(self) -> Listener | None:
        """The one listener; its model is loaded when it is first asked to hear."""
        with self._lock:
            if self._listener is None:
                self._listener = self._make_listener()
            return self._listener

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the engines in memory."""
        return tuple(self._loaded)
