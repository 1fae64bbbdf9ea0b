"""The files beside the sound, and the names of all: takes.meta.json, text.txt, result.json.

takes.meta.json holds only what follows from the request, so the same request writes the same bytes; clocks stand in
result.json alone. `lib.voice_synth.takes` calls it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import TypeAdapter

from lib.voice_synth.ranking import method_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lib.voice_synth.audio import Loudness
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.ranking import Rank
    from lib.voice_synth.request import PreparedSpeech, SpeechRequest

BEST: Final = "best.wav"
META: Final = "takes.meta.json"
TEXT: Final = "text.txt"
RESULT: Final = "result.json"

SCHEMA_VERSION: Final = 1

_DOCUMENT: Final = TypeAdapter(dict[str, Any])

_TAKE: Final = re.compile(r"take_(\d{2,})\.wav")

FileKind = Literal["best", "take", "meta", "text", "result"]


@dataclass(frozen=True, slots=True)
class TakeFile:
    """One file that was made: `bytes` is its size."""

    path: Path
    kind: FileKind
    bytes: int
    sha256: str


def take_name(number: int) -> str:
    """The file of take `number`, counted from 1."""
    return f"take_{number:02d}.wav"


def finish_file(partial: Path, final: Path, *, durable: bool) -> None:
    """Give a whole file its name; `durable` makes it survive a power cut first."""
    if durable:
        with partial.open("rb+") as opened:
            os.fsync(opened.fileno())
    partial.replace(final)


class TakeDirectory:
    """The directory of one request's files."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory = directory
        self._durable = durable

    def forget_earlier(self, *, keep: int, best: bool) -> None:
        """Remove takes beyond `keep`, and best.wav unless `best`, that an earlier run left here."""
        for path in self._directory.iterdir():
            match = _TAKE.fullmatch(path.name)
            if (match and int(match[1]) > keep) or (path.name == BEST and not best):
                path.unlink(missing_ok=True)

    def sound_files(self, takes: int, *, best: bool) -> list[TakeFile]:
        """The WAV files, takes first."""
        found = [_described(self._directory / take_name(number), "take") for number in range(1, takes + 1)]
        if best:
            found.append(_described(self._directory / BEST, "best"))
        return found

    def write_text(self, text: str) -> TakeFile:
        """text.txt, byte for byte the text as UTF-8."""
        return self._write(TEXT, text.encode(), "text")

    def write_json(self, name: str, document: dict[str, Any], kind: FileKind) -> TakeFile:
        """A JSON document for people and programs."""
        return self._write(name, json_bytes(document), kind)

    def _write(self, name: str, content: bytes, kind: FileKind) -> TakeFile:
        write_atomically(self._directory / name, content, durable=self._durable)
        return TakeFile(self._directory / name, kind, len(content), hashlib.sha256(content).hexdigest())


def json_bytes(document: dict[str, Any]) -> bytes:
    """Indented UTF-8 JSON with a final newline; its numbers are finite."""
    # Natively: the standard library indents in Python, and the next job waits for it.
    return _DOCUMENT.dump_json(document, indent=2) + b"\n"


def write_atomically(path: Path, content: bytes, *, durable: bool) -> None:
    """Write under a hidden name, then rename."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    finish_file(partial, path, durable=durable)


def _described(path: Path, kind: FileKind) -> TakeFile:
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
    return TakeFile(path, kind, path.stat().st_size, digest.hexdigest())


def timings(*, load: float, synth: float, total: float, audio: Sequence[float]) -> dict[str, float]:
    """Seconds, and the real-time factor: synthesis time for one second of audio."""
    audio_seconds = sum(audio)
    return {
        "load_sec": round(load, 4),
        "synth_sec": round(synth, 4),
        "total_sec": round(total, 4),
        "audio_sec": round(audio_seconds, 3),
        "rtf": round(synth / audio_seconds, 5) if audio_seconds else 0.0,
    }


def model_of(engine: SpeechEngine, prepared: PreparedSpeech) -> dict[str, Any]:
    """What spoke: with the content hash and the seed this is the key of a cache of outputs."""
    return {
        "engine": engine.name,
        "version": engine.model_version,
        "voice": prepared.choice.voice.name,
        "speed": prepared.choice.voice.speed,
        "voice_digest": prepared.choice.digest,
        "sample_rate": engine.sample_rate_of(prepared.choice.voice),
    }


def takes_meta(
    request: SpeechRequest,
    prepared: PreparedSpeech,
    model: dict[str, Any],
    takes: Sequence[Loudness],
    sound: Sequence[TakeFile],
) -> dict[str, Any]:
    """takes.meta.json."""
    described = [
        {
            "take": number,
            "file": file.path.name,
            "seed": prepared.settings_of(number - 1).seed,
            "seconds": round(loudness.seconds, 3),
            "peak": round(loudness.peak, 4),
            "rms_db": round(loudness.rms_db, 2),
            "quiet_share": round(loudness.quiet_share, 3),
            "bytes": file.bytes,
            "sha256": file.sha256,
        }
        for number, (loudness, file) in enumerate(zip(takes, sound, strict=False), start=1)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "characters": len(request.text),
        "chunked": request.chunk,
        "model": model,
        "takes": described,
    }


def result_document(
    request: SpeechRequest,
    prepared: PreparedSpeech,
    model: dict[str, Any],
    ranking: Sequence[Rank],
    timed: dict[str, float],
    files: Sequence[TakeFile],
) -> dict[str, Any]:
    """result.json. Without `select_best` nothing was compared and the first take stands as selected."""
    return {
        "schema_version": SCHEMA_VERSION,
        "request": request.as_json(),
        "model": model,
        "substituted_voice": prepared.choice.substituted,
        "ignored_fields": list(prepared.ignored_fields),
        "selection": {
            "selected_take": ranking[0].take if ranking else 1,
            "enabled": request.select_best,
            "method": method_of(ranking),
            "ranking": [_rank_json(rank) for rank in ranking],
        },
        "timings": timed,
        "files": [
            {"name": file.path.name, "kind": file.kind, "bytes": file.bytes, "sha256": file.sha256} for file in files
        ],
    }


def _rank_json(rank: Rank) -> dict[str, Any]:
    return {name: value for name, value in asdict(rank).items() if value is not None}


def summary_of(document: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """What a job's record keeps of it: the text and the digests stand elsewhere in the record."""
    sentences = sentences_of_result(document)
    return {
        "model": document["model"],
        "substituted_voice": document["substituted_voice"],
        "ignored_fields": document["ignored_fields"],
        "selected_take": document["selection"]["selected_take"],
        "timings": document["timings"],
        "takes": [{"file": take["file"], "seed": take["seed"], "seconds": take["seconds"]} for take in meta["takes"]],
        **({} if sentences is None else {"sentences": asdict(sentences)}),
    }


@dataclass(frozen=True, slots=True)
class SentencesOfResult:
    """How many sentences were `at_hand`, of how many in all takes."""

    at_hand: int
    of: int


def sentences_of_result(result: Mapping[str, Any] | None) -> SentencesOfResult | None:
    """What result.json or a record says of its sentences; None where it says nothing, as of a text spoken whole."""
    match (result or {}).get("sentences"):
        case {"at_hand": int() as at_hand, "of": int() as of} if 0 <= at_hand <= of and of > 0:
            return SentencesOfResult(int(at_hand), int(of))
    return None
