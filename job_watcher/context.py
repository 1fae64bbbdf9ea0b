"""What a running body may ask for, on either side of a process boundary.

The child makes one a job with the engines it keeps warm; the metal backend makes one for an inline body, which
has none. Where a report goes is the maker's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.errors import PermanentError
from lib.voice_synth.clips import NoClips
from lib.voice_synth.voices import VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines, WarmEngine
    from lib.capabilities.text_model import TextModel
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.listening import Listener

_BUILT_IN_VOICES: Final = VoiceRegistry()
_NO_CLIPS: Final = NoClips()

# A line under a progress bar.
_MESSAGE_CHARACTERS: Final = 200


class NoEngines:
    """Stands where a body runs inside the watcher's own loop, which no model may block."""

    only = None

    def known(self, name: str) -> SpeechEngine:
        """Refuse."""
        raise _no_engine(name)

    def warm(self, name: str) -> WarmEngine:
        """Refuse."""
        raise _no_engine(name)

    def listener(self) -> Listener | None:
        """Nobody."""
        return None


def _no_engine(name: str) -> PermanentError:
    return PermanentError(
        f"an inline task asked for the speech engine {name!r}", hint="give its TaskKind isolation='child'"
    )


@dataclass(slots=True)
class AttemptContext:
    """The `TaskContext` of one attempt.

    `make_work_dir` gives the directory when a body first asks; `report` is given each progress as the JSON that
    people see; `voices` are the built-in ones, and there are no `clips`, where nobody speaks; `nearly` hears that the
    body is nearly over; `model` is the text model, where there is one.
    """

    request_id: str
    attempt: int
    make_work_dir: Callable[[], Path]
    engines: SpeechEngines
    report: Callable[[dict[str, Any]], None]
    voices: VoiceRegistry = _BUILT_IN_VOICES
    clips: Clips = _NO_CLIPS
    nearly: Callable[[], None] = lambda: None
    model: TextModel | None = None

    @property
    def work_dir(self) -> Path:
        """An existing directory of this attempt's own."""
        return self.make_work_dir()

    @property
    def text_model(self) -> TextModel:
        """The model that the maker gave.

        Raises:
            PermanentError: it gave none, as the task's kind does not say that it needs one.

        """
        if self.model is None:
            raise PermanentError(
                "the task asked for a text model", hint="give its TaskKind capability='text_model', inline"
            )
        return self.model

    async def progress(
        self,
        percent: float,
        *,
        step: int | None = None,
        total: int | None = None,
        message: str = "",
    ) -> None:
        """Report; a percent outside 0 to 100 is brought inside, one that is no number is dropped."""
        if not math.isfinite(percent):
            return
        self.report(
            {
                "percent": round(min(100.0, max(0.0, percent)), 2),
                "step": step,
                "total": total,
                "message": message[:_MESSAGE_CHARACTERS],
            }
        )

    def nearly_over(self) -> None:
        """Tell whoever hands out the next job."""
        self.nearly()
