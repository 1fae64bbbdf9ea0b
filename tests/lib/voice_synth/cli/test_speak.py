"""`voice-synth speak` as a person and a program use it: files, stdout, stderr and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.generate.shapes import SHAPES, misfits
from lib.capabilities.speech import WarmEngines
from lib.errors import InvalidInputError
from lib.jobqueue import SPEECH_FIELDS, normalize_job_spec
from lib.voice_synth.cli.speak import SpeakCall, _shown, parse_speak
from lib.voice_synth.engines import registry
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.request import SpeechRequest
from lib.voice_synth.speaking import speak_row
from lib.voice_synth.takes import Step
from tests.lib.voice_synth.cli.conftest import PROGRAM
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.engines.base import SpeechEngine
    from tests.lib.voice_synth.cli.conftest import VoiceSynth

ROOT = Path(__file__).parents[4]
VOICE = ("--voice", "newsroom")
GIVEN = ("--text", "Hi.", "--out-exact", "o")


def started(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_writes_the_takes_and_prints_their_paths(synth: VoiceSynth) -> None:
    """Paths and lengths on stdout, notes on stderr, exit 0."""
    done = synth("speak", *GIVEN, "--speaker", "Ryan", "--profile", "stable")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{Path('o') / 'take_01.wav'}\t")
    assert "Ryan is spoken by hibari's heart" in done.err
    assert "hibari ignores profile" in done.err
    assert (synth.home / "o/take_01.wav").stat().st_size > 10_000


def test_json_is_one_document_and_nothing_else(synth: VoiceSynth, tmp_path: Path) -> None:
    """With --json stdout is result.json, byte for byte the same content as the file."""
    done = synth("speak", "--text", "Good evening.", "--voice", "newsroom", "--out-exact", tmp_path, "--json")
    assert done.code == 0
    assert json.loads(done.out) == json.loads((tmp_path / "result.json").read_bytes())
    assert done.err == ""


def test_the_command_and_the_library_speak_the_same_bytes(tmp_path: Path) -> None:
    """A process of its own gives the same takes as this one: what is planned here can be checked there."""
    done = started(
        "speak", "--text", "Good evening.", "--voice", "newsroom", "--variants", "2", "--out-exact", tmp_path / "a"
    )
    assert done.returncode == 0, done.stderr
    row = {"text": "Good evening.", "voice": "newsroom", "variants": 2}
    speak_row(row, directory=tmp_path / "b", watch=list)
    for name in ("take_01.wav", "take_02.wav", "takes.meta.json", "text.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_seed_changes_the_takes(synth: VoiceSynth, tmp_path: Path) -> None:
    """Seed 1's first take is seed 0's second."""
    synth("speak", "--text", "Hello.", "--voice", "newsroom", "--variants", "2", "--out-exact", tmp_path / "a")
    synth("speak", "--text", "Hello.", "--voice", "newsroom", "--seed", "1", "--out-exact", tmp_path / "b")
    assert (tmp_path / "b/take_01.wav").read_bytes() == (tmp_path / "a/take_02.wav").read_bytes()
    assert (tmp_path / "b/take_01.wav").read_bytes() != (tmp_path / "a/take_01.wav").read_bytes()


def test_the_result_goes_where_it_was_asked_for(synth: VoiceSynth, tmp_path: Path) -> None:
    """--json-result names the file, its directory is made, and there is only one result."""
    elsewhere = tmp_path / "deep/er/r.json"
    done = synth(
        "speak", "--text", "Hi there.", "--voice", "newsroom", "--out-exact", tmp_path / "o", "--json-result", elsewhere
    )
    assert done.code == 0
    assert json.loads(elsewhere.read_bytes())["schema_version"] == 1
    assert not (synth.home / "o/result.json").exists()
    inside = tmp_path / "p/result.json"
    assert (
        synth(
            "speak", "--text", "Hi.", "--voice", "newsroom", "--out-exact", tmp_path / "p", "--json-result", inside
        ).code
        == 0
    )
    assert inside.exists()


def test_text_comes_from_a_file_or_from_stdin(synth: VoiceSynth, tmp_path: Path) -> None:
    """Both are kept verbatim but for a byte-order mark."""
    (tmp_path / "t.txt").write_bytes("\ufeffCaf\u00e9.\r\nDone.\n".encode())
    assert (
        synth("speak", "--text-file", tmp_path / "t.txt", "--voice", "newsroom", "--out-exact", tmp_path / "a").code
        == 0
    )
    assert (tmp_path / "a/text.txt").read_bytes() == "Caf\u00e9.\r\nDone.\n".encode()
    done = synth("speak", "--text-file", "-", *VOICE, "--out-exact", tmp_path / "b", stdin=b"From a pipe.")
    assert done.code == 0
    assert (tmp_path / "b/text.txt").read_text() == "From a pipe."


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ((*VOICE,), 2, "exactly one of --text and --text-file"),
        ((*VOICE, "--text", "a", "--text-file", "b"), 2, "exactly one of --text and --text-file"),
        ((*VOICE, "--text-file", "/nowhere/at/all"), 2, "/nowhere/at/all"),
        ((*VOICE, "--text", " "), 2, "--text"),
        (("--text", "Hi."), 2, "--voice"),
        ((*VOICE, "--speaker", "Ryan", "--text", "Hi."), 2, "--voice"),
        ((*VOICE, "--text", "Hi.", "--variants", "0", "--top-p", "2"), 2, "--top-p"),
        ((*VOICE, "--text", "Hi.", "--profile", "wild"), 2, "--profile"),
        ((*VOICE, "--text", "Hi.", "--seed", "-1"), 2, "seed"),
        ((*VOICE, "--text", "Hi.", "--no-such-flag"), 2, "no-such-flag"),
        (("--voice", "newsrom", "--text", "Hi."), 2, "newsroom"),
        (("--speaker", "ryan", "--text", "Hi."), 2, "Ryan"),
        ((*VOICE, "--text", "Hi.", "--engine", "hibary"), 2, "hibari"),
        ((*VOICE, "--text", "Hi.", "--language", "Elvish"), 2, "Elvish"),
        ((*VOICE, "--text", "\u4f60\u597d"), 1, "Latin"),
        ((*VOICE, "--text", "..."), 1, "nothing that can be spoken"),
    ],
)
def test_mistakes_are_told_with_their_mend(
    arguments: tuple[str, ...],
    exit_code: int,
    said: str,
    synth: VoiceSynth,
    tmp_path: Path,
) -> None:
    """Each has its exit code, a message on stderr, an empty stdout, no traceback and no take."""
    done = synth("speak", *arguments, "--out-exact", tmp_path / "o")
    assert done.code == exit_code
    assert said in done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert not list((tmp_path / "o").glob("*.wav"))


def test_a_failing_step_clears_its_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it fails of, and whenever."""

    def steps() -> Iterator[Step]:
        yield Step(0.0, 0, 1, "loading the voice")
        raise InvalidInputError("no")

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(InvalidInputError):
        _shown(steps())
    assert capsys.readouterr().err == "\r  0.0 %  loading the voice\x1b[K\r\x1b[K"


def test_a_text_file_that_is_not_text(synth: VoiceSynth, tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are named with their place."""
    (tmp_path / "t").write_bytes(b"ok \xff")
    done = synth("speak", *VOICE, "--text-file", tmp_path / "t", "--out-exact", tmp_path / "o")
    assert (done.code, "not UTF-8 at byte 3" in done.err) == (2, True)


def test_a_place_that_cannot_be_written(synth: VoiceSynth, tmp_path: Path) -> None:
    """A file where a directory should be is an input mistake."""
    (tmp_path / "file").write_text("")
    done = synth("speak", *VOICE, "--text", "Hi.", "--out-exact", tmp_path / "file" / "o")
    assert done.code == 2
    assert "file" in done.err


def test_errors_as_json(synth: VoiceSynth, tmp_path: Path) -> None:
    """With --json the error is one document on stdout with a stable code, and is still told on stderr."""
    done = synth("speak", "--voice", "newsrom", "--text", "Hi.", "--out-exact", tmp_path, "--json")
    assert done.code == 2
    error = json.loads(done.out)["error"]
    assert error["code"] == "unknown_voice"
    assert "newsrom" in error["message"]
    assert "newsroom" in error["hint"]


def test_every_speech_field_has_its_flag() -> None:
    """The command can ask for everything that a job can."""
    help_text = started("speak", "--help").stdout
    for field in SPEECH_FIELDS:
        assert f"--{field.replace('_', '-')}" in help_text


def test_help_loads_no_model() -> None:
    """`--help` imports neither numpy nor the engine."""
    code = (
        "import sys\n"
        "from lib.voice_synth.cli import main\n"
        "main(['speak', '--help'])\n"
        "sys.stderr.write(' '.join(m for m in ('numpy', 'hibari', 'onnxruntime') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_an_interrupt_is_exit_130_and_leaves_no_half_file(tmp_path: Path) -> None:
    """Ctrl-C in mid-speech: said in one word, no traceback, no partial take."""
    text = "The traveler walked on and on. " * 4000
    (tmp_path / "t.txt").write_text(text)
    command = [*PROGRAM, "speak", "--voice", "newsroom"]
    command += ["--text-file", str(tmp_path / "t.txt"), "--out-exact", str(tmp_path / "o")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        partial = tmp_path / "o" / ".take_01.wav.part"
        while process.poll() is None and not (partial.exists() and partial.stat().st_size > 100_000):
            pass
        process.send_signal(2)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == ("", "interrupted\n")
    assert list((tmp_path / "o").iterdir()) == []


def test_the_engine_of_a_manifest_stays_warm(tmp_path: Path) -> None:
    """Two entries with one provider of engines load the model once."""
    made: list[str] = []

    def make(name: str) -> SpeechEngine:
        made.append(name)
        return make_engine(name)

    engines = WarmEngines(make)
    for place in ("a", "b"):
        row = {"text": "Hi there.", "voice": "newsroom"}
        speak_row(row, directory=tmp_path / place, watch=list, engines=engines)
    assert made == ["hibari"]


def test_flags_and_jobs_are_validated_alike() -> None:
    """A job and a command with the same fields make the same request: defaults stand in one place."""
    job = normalize_job_spec({"request_id": "x", "text": "Hi.", "voice": "newsroom"})
    defaults = SpeechRequest(text="Hi.", voice="newsroom")
    for field in SPEECH_FIELDS:
        assert getattr(job, field) == getattr(defaults, field)


def test_a_command_line_is_read_without_being_run(synth: VoiceSynth) -> None:
    """A manifest's line becomes a call with the fields that were given, as the command itself would take them."""
    words = ["--voice", "newsroom", "--text-file", "t.txt", "--out-exact", "o/a", "--seed", "7", "--variants", "2"]
    call = parse_speak([*words, "--select-best", "--json-result", "r.json", "--engine", "hibari", "--top-p", ".5"])
    assert call == SpeakCall(
        row={"voice": "newsroom", "variants": 2, "select_best": True, "top_p": 0.5},
        text_file=Path("t.txt"),
        out_exact=Path("o/a"),
        json_result=Path("r.json"),
        seed=7,
        engine="hibari",
    )
    assert list(synth.home.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*GIVEN, "--no-such"), "--no-such"),
        ((*GIVEN, "--seed", "x"), "--seed"),
        ((*GIVEN, "--seed", "-1"), "--seed"),
        ((*GIVEN, "--variants", "1.5"), "--variants"),
        ((*GIVEN, "--tone"), "--tone"),
        ((*GIVEN, "--text-file", "t"), "--text-file"),
        (("--text", "Hi."), "--out-exact"),
        (("--out-exact", "o"), "--text"),
        ((*GIVEN, "stray"), "stray"),
        ((*GIVEN, "--help"), "--help"),
        ((*GIVEN, "--select-best=1"), "--select-best"),
    ],
)
def test_a_command_line_that_cannot_be_read(words: tuple[str, ...], said: str, synth: VoiceSynth) -> None:
    """The option is named, nothing is printed, and the program is not left."""
    with pytest.raises(InvalidInputError, match=said):
        parse_speak(words)
    assert synth.capture.readouterr() == ("", "")


def test_reading_listens_to_no_environment(synth: VoiceSynth, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's completion variable is for programs, not for lines of a manifest."""
    monkeypatch.setenv("_VOICE_SYNTH SPEAK_COMPLETE", "complete_bash")
    assert parse_speak(GIVEN).row == {"text": "Hi."}
    assert synth.capture.readouterr() == ("", "")


def test_a_text_by_the_sentence_is_spoken_where_it_changed(synth: VoiceSynth) -> None:
    """By the clips of this machine; not those with --no-cache. A wrong setting is said before anything is spoken."""
    engines = {**registry.ENGINES, "hibari": lambda: ScriptedEngine(name="hibari")}
    synth.monkeypatch.setattr(registry, "ENGINES", engines)

    def at_hand(text: str, *flags: str) -> int:
        done = synth("speak", "--voice", "newsroom", "--text", text, "--out-exact", "o", "--chunk", "--json", *flags)
        assert done.code == 0, done.err
        document = json.loads(done.out)
        assert misfits(SHAPES["voice-synth speak"], document) == []
        count: int = document["sentences"]["at_hand"]
        return count

    assert [at_hand("One came. Two left."), at_hand("One came. Three left.")] == [0, 1]
    assert at_hand("One came. Three left.", "--no-cache") == 0
    synth.monkeypatch.setenv("SENTENCE_CACHE_BYTES", "much")
    whole = ("speak", "--voice", "newsroom", "--text", "Hi.", "--out-exact", "o", "--voices-dir", synth.voices)
    assert "SENTENCE_CACHE_BYTES" in synth(*whole, "--chunk").err
