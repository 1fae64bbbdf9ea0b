"""The speech engines of one child, loaded when a body first asks and warm from then on; voices and clips for them.

Where the watcher answers for a speech model, that one speaks and no other: the job was given to the cloud.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from job_watcher.child.asked_models import AskedSpeech
from job_watcher.child.questions import SPEECH
from lib.capabilities.speech import WarmEngine, WarmEngines
from lib.voice_synth.clip_folder import ClipFolder
from lib.voice_synth.library import VoiceLibrary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from job_watcher.child.asked_models import Asking
    from lib.capabilities.speech import SpeechEngines
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.listening import Listener


def warm_engines() -> WarmEngines:
    """Engines by name, none loaded yet."""
    return WarmEngines(_make, _make_listener)


def engines_of(models: Mapping[str, str], ask: Asking, warm: SpeechEngines) -> SpeechEngines:
    """The engines of one order: those of this process, or the one of the speech model that the watcher answers for."""
    return AskedEngines(AskedSpeech(models[SPEECH], ask), warm) if SPEECH in models else warm


class AskedEngines:
    """Speech by a model of the watcher, for one order; whoever listens to takes listens here."""

    def __init__(self, speech: AskedSpeech, warm: SpeechEngines) -> None:
        # As `_make`: only who speaks pays for it.
        from lib.voice_synth.engines.gemini import GeminiEngine  # noqa: PLC0415

        self._engine = GeminiEngine(speech)
        self._warm = warm

    @property
    def only(self) -> str:
        """The engine of the cloud: what it speaks is paid for, and what others would speak is not asked."""
        return self._engine.name

    def known(self, name: str) -> SpeechEngine:
        """The one, or another of this process to be asked about."""
        return self._engine if name == self._engine.name else self._warm.known(name)

    def warm(self, name: str) -> WarmEngine:
        """The one needs no loading."""
        return WarmEngine(self._engine, 0.0) if name == self._engine.name else self._warm.warm(name)

    def listener(self) -> Listener | None:
        """That of this process."""
        return self._warm.listener()


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


def clips_of(environ: Mapping[str, str]) -> ClipFolder:
    """The sentences that were spoken on this machine before, by whichever child."""
    return ClipFolder.of_machine(Path(environ["JOBS_STATE_DIR"]), int(environ["SENTENCE_CACHE_BYTES"]))
