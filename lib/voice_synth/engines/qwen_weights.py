"""Where the weights of Qwen3-TTS lie on this machine, and how to bring them there. It loads nothing.

    $QWEN_TTS_MODELS/Qwen3-TTS-12Hz-1.7B-CustomVoice/config.json …     a directory of model directories, looked at first
    the cache of Hugging Face                                          where `hf download` without a directory puts them

Three models do three things; of one that comes in two sizes the large one is taken where both are. A download of
gigabytes happens only where the owner of the machine has set QWEN_TTS_DOWNLOAD=yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from lib.settings import process_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["speaker", "clone", "design"]
"""What a model is for: the listed speakers, a voice from a recording, a voice from a description."""

_MODELS: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        "speaker": ("Qwen3-TTS-12Hz-1.7B-CustomVoice", "Qwen3-TTS-12Hz-0.6B-CustomVoice"),
        "clone": ("Qwen3-TTS-12Hz-1.7B-Base", "Qwen3-TTS-12Hz-0.6B-Base"),
        "design": ("Qwen3-TTS-12Hz-1.7B-VoiceDesign",),
    }
)
_OWNER: Final = "Qwen"
_YES: Final = frozenset({"1", "yes", "true", "on"})


@dataclass(frozen=True, slots=True)
class Weights:
    """One model: `place` is a directory, or a name that the library downloads from when `downloads`."""

    model: str
    place: str
    downloads: bool = False

    @property
    def is_small(self) -> bool:
        """The small models take no words about how to speak."""
        return "-0.6B-" in self.model


@dataclass(frozen=True, slots=True)
class WeightsHere:
    """Looks in `models` if it is given, then in `cache`; `download` is what the owner has allowed."""

    models: Path | None
    cache: Path
    download: bool = False

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] | None = None) -> WeightsHere:
        """As the variables say; the cache by the rules of its own library."""
        given = process_environment() if environ is None else environ
        home = Path(given.get("HF_HOME") or Path(given.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
        cache = Path(given.get("HF_HUB_CACHE") or home / "hub").expanduser()
        models = given.get("QWEN_TTS_MODELS", "").strip()
        allowed = given.get("QWEN_TTS_DOWNLOAD", "").strip().casefold() in _YES
        return cls(Path(models).expanduser() if models else None, cache, allowed)

    def find(self, kind: Kind) -> Weights | None:
        """The model for this, or None."""
        for model in _MODELS[kind]:
            place = self._place(model)
            if place is not None:
                return Weights(model, str(place))
        if self.download:
            return Weights(_MODELS[kind][0], f"{_OWNER}/{_MODELS[kind][0]}", downloads=True)
        return None

    @property
    def found(self) -> tuple[str, ...]:
        """The names of the models that would be used, without what they have in common."""
        here = (self.find(kind) for kind in _MODELS)
        return tuple(weights.model.removeprefix("Qwen3-TTS-") for weights in here if weights is not None)

    def _place(self, model: str) -> Path | None:
        # A directory and not a name is given to the library: a name would make it ask the network for news.
        if self.models is not None and _is_whole(self.models / model):
            return self.models / model
        cached = self.cache / f"models--{_OWNER}--{model}"
        try:
            snapshot = cached / "snapshots" / (cached / "refs" / "main").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return snapshot if _is_whole(snapshot) else None


def how_to_bring(kind: Kind) -> str:
    """What to type to have the weights."""
    model = _MODELS[kind][0]
    return f"hf download {_OWNER}/{model} (gigabytes), or unpack it as $QWEN_TTS_MODELS/{model}"


def name_of(kind: Kind) -> str:
    """The model that is meant when it is missing."""
    return _MODELS[kind][0]


def _is_whole(directory: Path) -> bool:
    """The three files that stand last in a download; the library itself finds whatever else is missing."""
    wanted = (
        directory / "config.json",
        directory / "generation_config.json",
        directory / "speech_tokenizer/config.json",
    )
    return all(path.is_file() for path in wanted)
