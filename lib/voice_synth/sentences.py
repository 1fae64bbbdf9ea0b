"""The sentences of one request: spoken by the engine, or taken from the clips where they were spoken before.

A sentence is kept as soon as it is spoken and sound by itself, so that an attempt that dies in the middle of a long
text has not paid for the first half in vain. What a take that failed its checks was made of is forgotten: where an
engine samples anew, the next attempt must not meet the same again. `lib.voice_synth.takes` calls it, and joins.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from lib.errors import PermanentError
from lib.voice_synth import documents
from lib.voice_synth.audio import fault_of, piece_of
from lib.voice_synth.clips import MOST_CLIP_BYTES, Clip, clip_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.audio import Piece
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.engines.base import SpeechEngine, SynthesisSettings
    from lib.voice_synth.request import PreparedSpeech


class Sentences:
    """All takes of one request with one engine.

    Made before the voice is loaded, so that a voice that is replaced meanwhile is noticed.
    """

    def __init__(self, engine: SpeechEngine, prepared: PreparedSpeech, clips: Clips) -> None:
        self._engine = engine
        self._prepared = prepared
        self._clips = clips
        self._model = self._model_now()
        self._rate = engine.sample_rate_of(prepared.choice.voice)
        self._met: Counter[tuple[int, str]] = Counter()
        self._keys: dict[int, list[str]] = {}
        self.spoken = 0
        """How many were asked for."""
        self.at_hand = 0
        """How many of these were there already."""

    def pieces(self, sentence: str, settings: SynthesisSettings) -> Iterator[Piece]:
        """The sound of one sentence, in order.

        Raises `BrokenSamplesError` for what is no sound, and otherwise what the engine raises.
        """
        self.spoken += 1
        key = self._key(sentence, settings)
        clip = self._clips.find(key)
        if clip is not None and clip.sample_rate == self._rate:
            self.at_hand += 1
            yield from clip.pieces
            return
        made: list[Piece] = []
        size = 0
        for piece in self.unkept(sentence, settings):
            size += len(piece.pcm)
            if size <= MOST_CLIP_BYTES:
                made.append(piece)
            yield piece
        if size <= MOST_CLIP_BYTES:
            self._keep(key, sentence, Clip(self._rate, tuple(made)))

    def unkept(self, text: str, settings: SynthesisSettings) -> Iterator[Piece]:
        """The sound of a text that is spoken as a whole; raises as `pieces`."""
        for samples in self._engine.synthesise(text, settings):
            piece = piece_of(samples, self._rate)
            if piece is not None:
                yield piece

    def forget(self, settings: SynthesisSettings) -> None:
        """What the take with these settings was made of is no good."""
        self._clips.forget(self._keys.pop(settings.seed, []))

    def _key(self, sentence: str, settings: SynthesisSettings) -> str:
        again = 0
        if not self._engine.deterministic:
            # A line that comes twice would be said twice in the same way, to the breath.
            again = self._met[settings.seed, sentence]
            self._met[settings.seed, sentence] += 1
        key = clip_key(sentence, self._model, settings, again)
        self._keys.setdefault(settings.seed, []).append(key)
        return key

    def _keep(self, key: str, sentence: str, clip: Clip) -> None:
        if fault_of(clip.loudness, sentence) is not None:
            return
        # With another voice in its place by now nobody knows which of the two was heard.
        with contextlib.suppress(PermanentError):
            if self._model_now() == self._model:
                self._clips.keep(key, clip)

    def _model_now(self) -> dict[str, Any]:
        return documents.model_of(self._engine, self._prepared)
