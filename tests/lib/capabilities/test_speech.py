"""Engines are loaded once a process and a failed load leaves nothing behind."""

from __future__ import annotations

import threading

import pytest

from lib.capabilities.speech import WarmEngine, WarmEngines
from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.engines.registry import make_engine
from tests.lib.voice_synth.scripted_engine import ScriptedEngine


class SlowEngine(ScriptedEngine):
    """Loads only when told to, so that a test can have two callers wait for one load."""

    def __init__(self) -> None:
        super().__init__()
        self.may_load = threading.Event()
        self.loading = threading.Event()

    def load(self) -> None:
        """Say that loading began, and wait."""
        self.loading.set()
        assert self.may_load.wait(10)
        super().load()


def test_the_first_caller_pays_and_the_second_does_not() -> None:
    """The same engine comes back, with its load time once."""
    engines = WarmEngines(make_engine)
    first = engines.warm("hibari")
    second = engines.warm("hibari")
    assert first.load_seconds > 0
    assert second == WarmEngine(first.engine, 0.0)
    assert engines.loaded == ("hibari",)


def test_two_callers_at_once_load_once() -> None:
    """A model is never loaded twice, which would double the memory."""
    made: list[SlowEngine] = []

    def make(_: str) -> SlowEngine:
        made.append(SlowEngine())
        return made[-1]

    engines = WarmEngines(make)
    threads = [threading.Thread(target=engines.warm, args=("scripted",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while not made:
        pass
    assert made[0].loading.wait(10)
    made[0].may_load.set()
    for thread in threads:
        thread.join(10)
    assert (len(made), made[0].loads) == (1, 1)


def test_a_failed_load_is_tried_again() -> None:
    """Out of memory once is not out of memory for ever."""
    attempts: list[int] = []

    class Failing(ScriptedEngine):
        def load(self) -> None:
            """Fail the first time."""
            attempts.append(1)
            if len(attempts) == 1:
                raise TemporaryError("out of memory")

    engines = WarmEngines(lambda _: Failing())
    with pytest.raises(TemporaryError):
        engines.warm("scripted")
    assert not engines.loaded
    assert engines.warm("scripted").engine.name == "scripted"


def test_whoever_only_asks_loads_nothing_and_waits_for_no_load() -> None:
    """The same engine is asked and spoken with; asking goes on while a model loads."""
    slow = SlowEngine()
    engines = WarmEngines(lambda _: slow)
    assert engines.known("scripted") is slow
    assert (slow.loads, engines.loaded) == (0, ())
    loading = threading.Thread(target=engines.warm, args=("scripted",))
    loading.start()
    assert slow.loading.wait(10)
    assert engines.known("scripted").languages == slow.languages
    slow.may_load.set()
    loading.join(10)
    assert engines.warm("scripted") == WarmEngine(slow, 0.0)
    assert slow.loads == 1


def test_names_are_kept_apart() -> None:
    """Each engine name has its own engine; an unknown one is a permanent error and is not remembered."""
    engines = WarmEngines(lambda name: ScriptedEngine(name=name))
    assert engines.warm("a").engine is not engines.warm("b").engine
    assert engines.loaded == ("a", "b")
    with pytest.raises(PermanentError):
        WarmEngines(make_engine).warm("nobody")
