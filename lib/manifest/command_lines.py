"""A job as a command line of `voice-synth speak`, and back.

What a job sets is written out even where it equals today's default, so that a manifest says all by itself. Reading is
done by the program's own parser, and refuses whatever a compiled job cannot hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lib.errors import InvalidInputError
from lib.jobqueue import SPEECH_FIELDS
from lib.manifest.documents import PROGRAM
from lib.voice_synth.cli.speak import SpeakCall, parse_speak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.jobqueue import JobSpec

_FLAGGED: Final = tuple(name for name in SPEECH_FIELDS if name != "text")


def argv_of(spec: JobSpec, *, text_file: str, out_exact: str, json_result: str) -> list[str]:
    """The whole command line, program first."""
    argv = list(PROGRAM)
    for name in _FLAGGED:
        value = getattr(spec, name)
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            argv.append(flag)
        elif value is not None and value is not False:
            argv += [flag, str(value)]
    if not spec.cache:
        argv.append("--no-cache")
    return [*argv, "--text-file", text_file, "--out-exact", out_exact, "--json-result", json_result]


def source_key_of(voice: str | None, speaker: str | None) -> str:
    """`voice:x` or `speaker:x`: jobs with the same one share a loaded model."""
    return f"voice:{voice}" if voice is not None else f"speaker:{speaker}"


def call_of(argv: Sequence[str]) -> SpeakCall:
    """The call that a manifest's command line stands for.

    Raises:
        InvalidInputError: it is another program's, or holds a flag that a manifest may not.

    """
    if tuple(argv[: len(PROGRAM)]) != PROGRAM:
        shown = " ".join(argv[: len(PROGRAM)])[:60]
        raise InvalidInputError(f"only `voice-synth speak` is run from a manifest, not {shown!r}")
    call = parse_speak(argv[len(PROGRAM) :])
    if call.as_json or call.voices_dir is not None or "text" in call.row:
        raise InvalidInputError("--json, --voices-dir and --text have no place in a manifest; remove them")
    return call
