"""Qwen3-TTS: the listed speakers for real, a voice from a recording, a voice from a description; ten languages.

The only module that imports `qwen_tts` and torch. A model of it needs 4 GB and a graphics card to be quick; where the
weights are is `qwen_weights`' business, and nothing is downloaded that the machine's owner has not allowed.
"""

from __future__ import annotations

import gc
from importlib import util
from typing import TYPE_CHECKING, Any, Final

from lib.calling import install_extra
from lib.errors import PermanentError, TaskError, TemporaryError
from lib.voice_synth.engines.base import VoicePart
from lib.voice_synth.engines.kept import Kept
from lib.voice_synth.engines.packages import version_of
from lib.voice_synth.engines.qwen_weights import Kind, Weights, WeightsHere, how_to_bring, name_of
from lib.voice_synth.engines.scripts import scripts_of, unread_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.engines.base import EngineVoice, Samples, SynthesisSettings

_DISTRIBUTION: Final = "qwen-tts"
_SAMPLE_RATE: Final = 24_000
_SPEAKERS: Final = ("Vivian", "Serena", "Uncle_Fu", "Dylan", "Eric", "Ryan", "Aiden", "Ono_Anna", "Sohee")
_LANGUAGES: Final = (
    *("English", "Chinese", "Japanese", "Korean", "German"),
    *("French", "Russian", "Portuguese", "Spanish", "Italian"),
)
_SCRIPTS: Final = tuple(script for language in _LANGUAGES for script in scripts_of(language))
# Each takes 4 GB and more, and the jobs of a batch come sorted by voice: a second would only crowd the card.
_KEPT_MODELS: Final = 1
# What a recording was turned into: a few megabytes each, seconds to make.
_KEPT_PROMPTS: Final = 16
_OBEYED_BY_ALL: Final = frozenset({"seed", "profile", "temperature", "top_p", "repetition_penalty", "max_new_tokens"})
_OBEYED_IN_WORDS: Final = frozenset({"tone", "instruct", "instruct_style"})


class QwenEngine:
    """Qwen3-TTS on a graphics card where there is one, else on the processor, many times slower than speech."""

    name = "qwen"
    voices: tuple[str, ...] = ()
    speakers = _SPEAKERS
    languages = _LANGUAGES
    voice_parts: tuple[VoicePart, ...] = (
        VoicePart("reference_audio", "file", required=False, what="a recording of the voice, 1 to 60 seconds, WAV"),
        VoicePart("reference_text", "text", required=False, what="what is said in the recording, word for word"),
        VoicePart("design", "text", required=False, what="without a recording: the voice in words, as `an old sailor`"),
    )
    # It samples; the same seed repeats a take on the same machine, which is no promise for another card.
    deterministic = False

    def __init__(self, weights: WeightsHere | None = None) -> None:
        self._weights = weights or WeightsHere.of_environment()
        self._models: Kept[_Model] = Kept(_KEPT_MODELS)

    @property
    def model_version(self) -> str:
        """Of the package, and the models that are here."""
        return "+".join((f"{_DISTRIBUTION}-{version_of(_DISTRIBUTION)}", *self._weights.found))

    def missing(self, voice: EngineVoice | None = None) -> str | None:
        """Its packages, then the weights: of the voice's model, or of any."""
        for module, package in (("qwen_tts", _DISTRIBUTION), ("torch", "torch")):
            if util.find_spec(module) is None:
                return f"the package {package}"
        if voice is None:
            return None if self._weights.found else "the weights of every Qwen3-TTS model"
        kind = _kind_of(voice)
        return None if self._weights.find(kind) else f"the weights of {name_of(kind)}"

    def remedy(self, voice: EngineVoice | None = None) -> str:
        """Install the extra, then bring the weights."""
        if util.find_spec("qwen_tts") is None or util.find_spec("torch") is None:
            return install_extra("qwen")
        return how_to_bring("speaker" if voice is None else _kind_of(voice))

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:
        """All ten, whatever language a recording is in."""
        _kind_of(voice)
        return _LANGUAGES

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:
        """How it samples; words about how to speak too, but for the small models and copies of a recording."""
        kind = _kind_of(voice)
        weights = self._weights.find(kind)
        deaf = kind == "clone" or (weights is not None and weights.is_small)
        return _OBEYED_BY_ALL if deaf else _OBEYED_BY_ALL | _OBEYED_IN_WORDS

    def sample_rate_of(self, voice: EngineVoice) -> int:  # noqa: ARG002 - the same for all models
        """Fixed by the models."""
        return _SAMPLE_RATE

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:  # noqa: ARG002 - it reads a mixture
        """Refuse letters of scripts that none of its languages has."""
        unread = unread_words(text, _SCRIPTS)
        if unread:
            raise PermanentError(
                f"qwen cannot read {unread!r} in the text", hint=f"its languages: {', '.join(_LANGUAGES)}"
            )

    def load(self) -> None:
        """Import the packages, some seconds; a model comes with `load_voice`."""
        try:
            import qwen_tts  # noqa: F401, PLC0415 - torch and all: gigabytes that only the process that speaks pays for
            import torch  # noqa: F401, PLC0415 - ditto
        except ImportError as exc:
            raise PermanentError(f"the speech engine qwen is not installed: {exc}", hint=install_extra("qwen")) from exc

    def load_voice(self, voice: EngineVoice) -> None:
        """Load the model that the voice needs, in place of the last one, and learn its recording."""
        model = self._model(voice)
        if _kind_of(voice) == "clone":
            model.prompt(voice)

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """One piece: the model gives a text as a whole. Long texts are better chunked."""
        yield self._model(settings.voice).spoken(text, settings)

    def _model(self, voice: EngineVoice) -> _Model:
        kind = _kind_of(voice)
        weights = self._weights.find(kind)
        if weights is None:
            raise PermanentError(
                f"the weights of {name_of(kind)} are not on this machine, and are never downloaded unasked",
                hint=f"{how_to_bring(kind)}; or set QWEN_TTS_DOWNLOAD=yes",
            )
        return self._models.get(weights, lambda: _Model(weights))


class _Model:
    """One model in memory, with what it has learned of recordings."""

    def __init__(self, weights: Weights) -> None:
        import torch  # noqa: PLC0415 - see `load`
        from qwen_tts import Qwen3TTSModel  # noqa: PLC0415 - ditto

        self._torch = torch
        self._prompts: Kept[Any] = Kept(_KEPT_PROMPTS)
        self._free_memory()  # of the model that this one replaces
        on_card = bool(torch.cuda.is_available())
        attention = "flash_attention_2" if on_card and util.find_spec("flash_attn") else "sdpa"
        try:
            self._model = Qwen3TTSModel.from_pretrained(
                weights.place,
                device_map="cuda:0" if on_card else "cpu",
                dtype=_precision(torch) if on_card else torch.float32,
                attn_implementation=attention,
                local_files_only=not weights.downloads,
            )
        except Exception as exc:
            self._free_memory()
            raise _as_ours(torch, exc, f"{weights.model} could not be loaded") from exc

    def spoken(self, text: str, settings: SynthesisSettings) -> Samples:
        """The text, by whichever of the three ways the voice needs."""
        import numpy as np  # noqa: PLC0415 - only the process that speaks pays for it

        told = _sampling(settings)
        voice, language = settings.voice, settings.language
        kind = _kind_of(voice)
        prompt = self.prompt(voice) if kind == "clone" else None
        self._torch.manual_seed(settings.seed)
        try:
            if kind == "clone":
                sounds, rate = self._model.generate_voice_clone(
                    text=text, language=language, voice_clone_prompt=prompt, **told
                )
            elif kind == "design":
                wanted = " ".join(filter(None, (voice.texts["design"].strip(), _words(settings))))
                sounds, rate = self._model.generate_voice_design(text=text, language=language, instruct=wanted, **told)
            else:
                sounds, rate = self._model.generate_custom_voice(
                    text=text, language=language, speaker=voice.name, instruct=_words(settings) or None, **told
                )
        except Exception as exc:
            self._free_memory()
            raise _as_ours(self._torch, exc, f"qwen could not speak {language} with this voice") from exc
        if int(rate) != _SAMPLE_RATE:
            raise PermanentError(
                f"qwen gave {rate} samples a second and not {_SAMPLE_RATE}", hint="use the 12Hz models of Qwen3-TTS"
            )
        return np.asarray(sounds[0], dtype=np.float32).reshape(-1)

    def prompt(self, voice: EngineVoice) -> Any:
        """What the model makes of the voice's recording, made once while it is among the last few."""
        path = voice.files["reference_audio"]
        said = voice.texts.get("reference_text", "").strip()

        def learn() -> Any:
            try:
                # Without the words of the recording it takes the timbre alone.
                return self._model.create_voice_clone_prompt(
                    ref_audio=str(path), ref_text=said or None, x_vector_only_mode=not said
                )
            except Exception as exc:
                self._free_memory()
                raise _as_ours(self._torch, exc, f"the recording {path} could not be learned") from exc

        try:
            seen = path.stat()
        except OSError as exc:
            raise PermanentError(f"{path}: {exc.strerror}", hint="register the voice again") from exc
        return self._prompts.get((str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns, said), learn)

    def _free_memory(self) -> None:
        gc.collect()
        if self._torch.cuda.is_available():
            self._torch.cuda.empty_cache()


def _kind_of(voice: EngineVoice) -> Kind:
    if voice.files.get("reference_audio") is not None:
        return "clone"
    if voice.texts.get("design", "").strip():
        return "design"
    if voice.name in _SPEAKERS:
        return "speaker"
    raise PermanentError(
        f"qwen has no speaker {voice.name!r}, and neither a recording nor a description of the voice is given",
        hint=f"its speakers: {', '.join(_SPEAKERS)}; or register the voice with reference_audio or design",
    )


def _sampling(settings: SynthesisSettings) -> dict[str, Any]:
    told: dict[str, Any] = {
        "repetition_penalty": settings.repetition_penalty,
        "max_new_tokens": settings.max_new_tokens,
    }
    if settings.temperature == 0:
        # The library refuses a temperature of 0; what is meant by it is to choose the likeliest always.
        told |= {"do_sample": False, "subtalker_dosample": False}
    else:
        told |= {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p}
    return {name: value for name, value in told.items() if value is not None}


def _words(settings: SynthesisSettings) -> str:
    """What a job says about how to speak, as the sentences that the models were taught with."""
    said = [
        settings.instruct.strip() if settings.instruct else "",
        f"Speak in the style of {settings.instruct_style.strip()}." if settings.instruct_style else "",
        f"Speak in a tone that is {settings.tone.strip()}." if settings.tone else "",
    ]
    return " ".join(filter(None, said))


def _precision(torch: Any) -> Any:
    """Half of the memory; older cards know one kind of half precision only."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _as_ours(torch: Any, exc: Exception, what: str) -> TaskError:
    if isinstance(exc, MemoryError | torch.cuda.OutOfMemoryError) or "out of memory" in str(exc).casefold():
        return TemporaryError(f"{what}: out of memory: {exc}", hint="a 1.7B model wants 6 GB; the 0.6B ones want less")
    if isinstance(exc, ConnectionError | TimeoutError):
        return TemporaryError(f"{what}: {exc}", hint="is the network there?")
    if isinstance(exc, ValueError | NotImplementedError | OSError | TypeError | KeyError):
        return PermanentError(f"{what}: {exc}", hint="see `voice-synth capabilities` and the model's card")
    return TemporaryError(f"{what}: {type(exc).__name__}: {exc}", hint="it is tried again")
