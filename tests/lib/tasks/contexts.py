"""A context for one attempt, as a watcher gives it, that remembers what was reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.capabilities.speech import WarmEngines
from lib.voice_synth.clips import Clips, NoClips
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.voices import VoiceRegistry

if TYPE_CHECKING:
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines
    from lib.capabilities.text_model import TextModel


@dataclass
class RecordingContext:
    """Keeps every progress report."""

    work_dir: Path
    engines: SpeechEngines = field(default_factory=lambda: WarmEngines(make_engine))
    voices: VoiceRegistry = field(default_factory=VoiceRegistry)
    clips: Clips = field(default_factory=NoClips)
    request_id: str = "test"
    attempt: int = 1
    reports: list[tuple[float, int | None, int | None, str]] = field(default_factory=list)
    nearly_at: list[int] = field(default_factory=list)
    model: TextModel | None = None

    @property
    def text_model(self) -> TextModel:
        """The model that the test gave."""
        assert self.model is not None
        return self.model

    async def progress(
        self,
        percent: float,
        *,
        step: int | None = None,
        total: int | None = None,
        message: str = "",
    ) -> None:
        """Remember."""
        self.reports.append((percent, step, total, message))

    def nearly_over(self) -> None:
        """Remember how much had been reported by then."""
        self.nearly_at.append(len(self.reports))
