"""The last resort: espeak-ng, a program that speaks a hundred languages, each like a machine.

It is no package but a program of the system, run as a child for each text: the text goes to its standard input and
never into its arguments, the sound comes back on its standard output, and a deadline stands over both.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import tempfile
import threading
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Final

from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.engines.scripts import scripts_of, unread_words
from lib.voice_synth.languages import WELL_KNOWN, english_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lib.voice_synth.engines.base import EngineVoice, Samples, SynthesisSettings, VoicePart

_PROGRAM: Final = "espeak-ng"
_PLAIN: Final = "plain"
# Timbres that come with the program, women's and men's.
_VARIANTS: Final = ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")
_SAMPLE_RATE: Final = 22_050
_USUAL_WORDS_A_MINUTE: Final = 175
# What the program takes; beyond them it goes on at the nearest.
_SLOWEST, _FASTEST = 80, 450
_LISTING_SECONDS: Final = 10.0
# It speaks a hundred times faster than it is heard; a hundred letters a second is a machine in distress.
_LEAST_SECONDS: Final = 30.0
_SECONDS_A_CHARACTER: Final = 0.01
_PIECE_BYTES: Final = 2 * _SAMPLE_RATE
_HEADER_BYTES: Final = 44
# The usual code reads Chinese letters as English syllables; for these languages it knows no Chinese letters at all.
_CODES: Final[Mapping[str, str]] = MappingProxyType({"Chinese": "cmn-latn-pinyin"})
_SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"Japanese": ("HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"), "Hakka Chinese": ()}
)


class EspeakEngine:
    """espeak-ng; a voice is a timbre, the language chooses the accent."""

    name = "espeak"
    voices: tuple[str, ...] = (_PLAIN, *_VARIANTS)
    speakers: tuple[str, ...] = ()
    voice_parts: tuple[VoicePart, ...] = ()
    deterministic = True

    def __init__(self) -> None:
        self._codes: Mapping[str, str] | None = None
        self._version: str | None = None

    @property
    def model_version(self) -> str:
        """The program's own; asked once, as it takes a process."""
        if self.missing() is not None:
            return f"{_PROGRAM}-missing"
        if self._version is None:
            # It says `eSpeak NG text-to-speech: 1.51  Data at: …`.
            version = _answer("--version").partition(":")[2].split()
            self._version = version[0] if version else "missing"
        return f"{_PROGRAM}-{self._version}"

    @property
    def languages(self) -> tuple[str, ...]:
        """What the program here lists, by their English names; those of regions in brackets."""
        return tuple(self._codes_here())

    def missing(self, voice: EngineVoice | None = None) -> str | None:  # noqa: ARG002 - all its voices come with it
        """The program, when it is not there."""
        return None if shutil.which(_PROGRAM) else f"the program {_PROGRAM}"

    def remedy(self, voice: EngineVoice | None = None) -> str:  # noqa: ARG002 - ditto
        """Install it."""
        return f"install {_PROGRAM}; on Debian: apt-get install {_PROGRAM}"

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:  # noqa: ARG002 - a timbre speaks all of them
        """All of its languages; where it is missing those that it would surely have."""
        return self.languages if self.missing() is None else WELL_KNOWN

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:  # noqa: ARG002 - the same for all
        """A pace, and nothing else."""
        return frozenset({"speed"})

    def sample_rate_of(self, voice: EngineVoice) -> int:  # noqa: ARG002 - the same for all
        """Fixed by the program."""
        return _SAMPLE_RATE

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:  # noqa: ARG002 - the language says it
        """Refuse letters that it would only name (`Chinese letter`) or leave out."""
        unread = unread_words(text, _SCRIPTS.get(language, scripts_of(language)))
        if unread:
            raise PermanentError(
                f"espeak speaks {language} here and cannot read {unread!r} in the text",
                hint="set language: to that of the text",
            )

    def load(self) -> None:
        """See that the program answers."""
        if self.missing() is not None:
            raise PermanentError(f"the program {_PROGRAM} is not installed", hint=self.remedy())
        self._codes_here()

    def load_voice(self, voice: EngineVoice) -> None:
        """Refuse a timbre that it lacks; the program itself would speak on with the usual one."""
        if voice.name not in self.voices:
            raise PermanentError(f"espeak has no voice {voice.name!r}", hint=f"its voices: {', '.join(self.voices)}")

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """A piece a second, as they come."""
        self.load_voice(settings.voice)
        code = self._codes_here().get(settings.language)
        if code is None:
            raise PermanentError(f"espeak does not speak {settings.language!r}", hint="see `voice-synth capabilities`")
        timbre = "" if settings.voice.name == _PLAIN else f"+{settings.voice.name}"
        pace = min(_FASTEST, max(_SLOWEST, round(_USUAL_WORDS_A_MINUTE * settings.speed)))
        yield from _spoken(_plain(text), f"{code}{timbre}", pace)

    def _codes_here(self) -> Mapping[str, str]:
        """Languages by English name, with what the program calls them."""
        if self._codes is None:
            self._codes = MappingProxyType(_codes_in(_answer("--voices"))) if self.missing() is None else {}
        return self._codes


def _codes_in(listing: str) -> dict[str, str]:
    """From lines as ` 5  fr-be  --/M  French_(Belgium)  roa/fr-BE  (fr 8)`."""
    found: dict[str, str] = {}
    for line in listing.splitlines()[1:]:
        words = line.split()
        if len(words) < 4:  # noqa: PLR2004 - priority, language, gender, name
            continue
        code, name = words[1], words[3].replace("_", " ").strip()
        usual = english_name(code)
        found.setdefault(name if usual == code else usual, code)
        found.setdefault(name, code)
    found |= {name: code for name, code in _CODES.items() if code in found.values()}
    return dict(sorted(found.items()))


def _answer(question: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - one program, one flag, no shell
            [_path(), question], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_LISTING_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise TemporaryError(f"{_PROGRAM} {question} failed: {exc}", hint=f"try `{_PROGRAM} {question}`") from exc
    return done.stdout.decode(errors="replace")


def _path() -> str:
    return shutil.which(_PROGRAM) or _PROGRAM


def _plain(text: str) -> str:
    """Without what the program takes for its own: `[[…]]` holds phonemes, and a NUL ends the text."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text).replace("[[", "[ [")


def _spoken(text: str, voice: str, pace: int) -> Iterator[Samples]:
    import numpy as np  # noqa: PLC0415 - only the process that speaks pays for it

    step = np.float32(1 / 32_768)
    seconds = _LEAST_SECONDS + _SECONDS_A_CHARACTER * len(text)
    with tempfile.TemporaryFile() as complaints:
        command = [_path(), "--stdin", "--stdout", "-b", "1", "-v", voice, "-s", str(pace)]
        try:
            child = subprocess.Popen(  # noqa: S603 - no shell; nothing of a job's text is among the arguments
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
            )
        except OSError as exc:
            raise TemporaryError(
                f"{_PROGRAM} cannot be started: {exc.strerror}", hint=f"try `{_PROGRAM} hello`"
            ) from exc
        late = threading.Event()
        deadline = threading.Timer(seconds, _end, (child, late))
        deadline.daemon = True
        deadline.start()
        try:
            # A child that ended early has said why.
            with contextlib.suppress(BrokenPipeError), child.stdin as told:  # type: ignore[union-attr]  # it is a pipe
                told.write(text.encode())
            for piece in _pieces(child.stdout):  # type: ignore[arg-type]  # ditto
                yield np.frombuffer(piece, dtype="<i2").astype(np.float32) * step
            code = child.wait()
        finally:
            deadline.cancel()
            child.kill()
            child.wait()
            child.stdout.close()  # type: ignore[union-attr]  # ditto
        if late.is_set():
            raise TemporaryError(f"{_PROGRAM} did not end within {seconds:.0f} s", hint="it is tried again")
        if code != 0:
            complaints.seek(0)
            why = complaints.read(500).decode(errors="replace").strip() or f"it ended with {code}"
            kind = PermanentError if code > 0 else TemporaryError
            raise kind(f"{_PROGRAM} failed: {why}", hint=f"try `{_PROGRAM} -v {voice} hello`")


def _end(child: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    child.kill()


def _pieces(sound: IO[bytes]) -> Iterator[bytes]:
    """Samples of two bytes, about a second at a time. The length in the header means nothing: it was not known."""
    # A buffered pipe reads as many bytes as asked for, or up to the end.
    header = sound.read(_HEADER_BYTES)
    if len(header) == _HEADER_BYTES:
        channels, rate = struct.unpack_from("<HI", header, 22)
        if header[:4] != b"RIFF" or header[36:40] != b"data" or (channels, rate) != (1, _SAMPLE_RATE):
            raise PermanentError(
                f"{_PROGRAM} gave sound of an unknown form ({channels} channels, {rate} Hz)",
                hint="install the espeak-ng of the distribution",
            )
    while piece := sound.read(_PIECE_BYTES):
        yield piece[: len(piece) // 2 * 2]
