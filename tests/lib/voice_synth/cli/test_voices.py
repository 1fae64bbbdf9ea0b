"""The commands that keep voices, as a person and a program use them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.library_facts import capabilities_here, speakers_here
from lib.voice_synth.library_parts import LONGEST_REFERENCE_SECONDS, SHORTEST_REFERENCE_SECONDS
from lib.voice_synth.voices import SPEAKERS
from tests.lib.voice_synth.cli.conftest import PROGRAM
from tests.lib.voice_synth.own_voices import LOADABLE, archive, own_voice, placed, sound_entries, sources, wav_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lib.voice_synth.cli.conftest import VoiceSynth


def voices_of(synth: VoiceSynth) -> list[str]:
    """Slugs of the registered voices that are whole."""
    return [each.slug for each in VoiceLibrary(synth.voices, check_files=True).listed() if each.broken is None]


def test_from_a_model_to_a_voice_and_away_again(synth: VoiceSynth) -> None:
    """Register, list, rename, export, delete, import: each says in a line what it did."""
    sources(synth.home)
    assert synth("register", "anna", "--piper-model", "anna.onnx", "--language", "English").out == "anna: piper\n"
    assert "anna" in synth("list-voices").out
    assert synth("rename", "anna", "bert").out == "anna is bert now\n"
    done = synth("export", "bert")
    assert (done.code, done.out) == (0, f"bert.zip\t{(synth.home / 'bert.zip').stat().st_size} bytes\n")
    assert synth("delete", "bert", "--yes").out == "bert is gone\n"
    assert voices_of(synth) == []
    assert synth("import", "bert.zip", "--as", "anna").out == "anna: piper\n"
    assert voices_of(synth) == ["anna"]


def test_json_is_one_document_each(synth: VoiceSynth) -> None:
    """Every command, and nothing else on stdout."""
    sources(synth.home)
    registered = synth("register", "anna", "--piper-model", "anna.onnx", "--json").document
    assert registered["schema_version"] == 1
    assert registered["voice"]["engines"]["piper"]["files"]["model"]["bytes"] == len(LOADABLE)
    assert synth("rename", "anna", "bert", "--json").document["renamed"] == "anna"
    exported = synth("export", "bert", "--out", "b.zip", "--json").document
    assert (exported["file"], exported["bytes"]) == ("b.zip", (synth.home / "b.zip").stat().st_size)
    assert synth("delete", "bert", "--yes", "--json").document["deleted"] == "bert"
    assert synth("import", "b.zip", "--json").document["voice"] == exported["voice"]


def test_a_voice_of_an_engines_own_at_another_pace(synth: VoiceSynth) -> None:
    """No file is needed; it can speak at once, and slower than the built-in one."""
    done = synth("register", "slow-news", "--engine", "hibari", "--name", "heart", "--speed", "0.7")
    assert (done.code, done.err) == (0, "")
    seconds = {}
    for voice in ("newsroom", "slow-news"):
        spoken = synth("speak", "--voice", voice, "--text", "Good morning.", "--out-exact", voice, "--json").document
        seconds[voice] = spoken["timings"]["audio_sec"]
        assert spoken["substituted_voice"] is None
    assert seconds["slow-news"] > 1.2 * seconds["newsroom"]


def test_a_clone_is_registered_from_a_recording(synth: VoiceSynth) -> None:
    """A WAV and what is said in it; that the engine is not here is said, and no reason to refuse."""
    wav_file(synth.home / "a.wav", 3.0)
    done = synth("register", "anna", "--reference-audio", "a.wav", "--reference-text", "Hello there.")
    assert (done.code, done.out) == (0, "anna: qwen\n"), done.err
    sound = VoiceLibrary(synth.voices).require("anna").on_engine["qwen"]
    assert sound.texts["reference_text"] == "Hello there."
    assert sound.files["reference_audio"].read_bytes() == (synth.home / "a.wav").read_bytes()


def test_a_model_that_cannot_be_loaded_here_is_taken_and_that_is_said(
    synth: VoiceSynth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where piper is, random bytes are refused and nothing is kept; where it is not, only the description counts."""
    pytest.importorskip("piper", reason="needs the extra piper")
    sources(synth.home, b"random" * 100)
    refused = synth("register", "anna", "--piper-model", "anna.onnx")
    assert (refused.code, refused.out) == (2, "")
    assert "anna.onnx is no model that piper can use" in refused.err
    assert voices_of(synth) == []
    monkeypatch.setattr("lib.voice_synth.engines.piper.util.find_spec", lambda _: None)
    taken = synth("register", "anna", "--piper-model", "anna.onnx")
    assert (taken.code, taken.out) == (0, "anna: piper\n")
    assert "only the description of the model is checked" in taken.err


def test_one_more_engine_for_a_voice(synth: VoiceSynth) -> None:
    """Registering again joins; the same engine again is refused until --replace."""
    sources(synth.home)
    synth("register", "anna", "--piper-model", "anna.onnx")
    assert synth("register", "anna", "--engine", "hibari", "--name", "heart").out == "anna: hibari, piper\n"
    again = synth("register", "anna", "--piper-model", "anna.onnx")
    assert (again.code, "--replace" in again.err) == (1, True)
    assert synth("register", "anna", "--piper-model", "anna.onnx", "--replace").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["register", "Anna", "--engine", "hibari", "--name", "heart"], 2, "no voice name"),
        (["register", "newsroom", "--engine", "hibari", "--name", "heart"], 1, "built in"),
        (["register", "a"], 2, "no engine"),
        (["register", "a", "--engine", "hibary"], 2, "hibari"),
        (["register", "a", "--piper-model", "absent.onnx"], 2, "absent.onnx.json is not there"),
        (["register", "a", "--piper-model", "anna.onnx", "--reference-audio", "x.wav"], 2, "several engines"),
        (["register", "a", "--engine", "hibari", "--piper-model", "anna.onnx"], 2, "several engines"),
        (["register", "a", "--engine", "piper", "--file", "model"], 2, "ROLE=VALUE"),
        (["register", "a", "--engine", "piper", "--file", "model=a", "--file", "model=b"], 2, "twice"),
        (["register", "a", "--engine", "hibari", "--name", "heart", "--speed", "9"], 2, "--speed"),
        (["register", "a", "--engine", "hibari", "--name", "heart", "--description", "a\nb"], 2, "description"),
        (["rename", "anna", "newsroom"], 1, "built in"),
        (["rename", "ana", "x"], 4, "anna"),
        (["rename", "anna", "zoe"], 1, "zoe"),
        (["delete", "ana", "--yes"], 4, "anna"),
        (["delete", "anna"], 2, "--yes"),
        (["delete", "newsroom", "--yes"], 1, "built in"),
        (["export", "ana"], 4, "anna"),
        (["export", "newsroom"], 1, "built in"),
        (["export", "anna", "--out", "nowhere/a.zip"], 2, "nowhere"),
        (["import", "absent.zip"], 4, "absent.zip"),
        (["import", "anna.onnx"], 2, "no zip archive"),
        (["import", "good.zip"], 1, "there already"),
        (["import", "good.zip", "--as", "newsroom"], 1, "built in"),
        (["list-voice"], 2, "list-voices"),
        (["register"], 2, "SLUG"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_mistakes_are_told_with_their_mend(words: list[str], code: int, said: str, synth: VoiceSynth) -> None:
    """Exit code, message and hint on stderr, an empty stdout, no traceback, the voices as they were."""
    sources(synth.home)
    own_voice(synth.voices)
    own_voice(synth.voices, "zoe")
    archive(synth.home / "good.zip", sound_entries())
    done = synth(*words)
    assert (done.code, done.out) == (code, ""), done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert voices_of(synth) == ["anna", "zoe"]


def test_an_error_is_a_document_too(synth: VoiceSynth) -> None:
    """With --json a program need not read stderr."""
    done = synth("delete", "anna", "--json", "--yes")
    assert done.code == 4
    assert done.document["error"]["code"] == "not_found"
    assert "newsroom" in done.document["error"]["hint"]


def test_a_broken_voice_is_listed_and_hides_no_other(synth: VoiceSynth) -> None:
    """Its file and the mend are told; the table goes on."""
    placed(synth.voices, "anna", colour="red")
    own_voice(synth.voices, "zoe")
    done = synth("list-voices")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["VOICE", "newsroom", "anna", "zoe"]
    assert "voice.json: colour" in done.err
    by_slug = {each["slug"]: each for each in synth("list-voices", "--json").document["voices"]}
    assert by_slug["anna"]["broken"]["message"]
    assert (by_slug["anna"]["usable"], by_slug["zoe"]["broken"]) == (False, None)
    assert by_slug["newsroom"]["built_in"] is True
    spoken = synth("speak", "--voice", "anna", "--text", "Hi.", "--out-exact", "o")
    assert (spoken.code, "colour" in spoken.err) == (1, True)
    assert synth("delete", "anna", "--yes").code == 0


def test_a_name_with_a_control_character_drives_no_terminal(synth: VoiceSynth) -> None:
    """A folder that somebody has named to mislead is shown with escapes."""
    (synth.voices / "a\x1b[2Jb").mkdir(parents=True)
    done = synth("list-voices")
    assert "\x1b" not in done.out + done.err
    assert "a\\x1b[2Jb" in done.out


def test_another_directory_by_flag(synth: VoiceSynth, tmp_path: Path) -> None:
    """--voices-dir wins over the setting, in every command."""
    other = tmp_path / "other"
    flag = ("--voices-dir", other)
    assert synth("register", "anna", "--engine", "hibari", "--name", "heart", *flag).code == 0
    assert (voices_of(synth), (other / "anna/voice.json").exists()) == ([], True)
    assert "anna" in synth("list-voices", *flag).out
    assert synth("speak", "--voice", "anna", "--text", "Hi there.", "--out-exact", "o", *flag).code == 0
    assert synth("speak", "--voice", "anna", "--text", "Hi there.", "--out-exact", "o").code == 2


def test_delete_asks_on_a_terminal(synth: VoiceSynth) -> None:
    """No keeps the voice, yes removes it."""
    own_voice(synth.voices)
    for answer, code, left in ((b"n\n", 1, ["anna"]), (b"y\n", 0, [])):
        parent, child = pty.openpty()
        with subprocess.Popen([*PROGRAM, "delete", "anna"], stdin=child, stdout=child, stderr=child) as process:
            os.close(child)
            os.write(parent, answer)
            assert process.wait(timeout=30) == code
        os.close(parent)
        assert voices_of(synth) == left


def test_two_programs_register_one_name(synth: VoiceSynth) -> None:
    """Processes of their own, at once: one wins, the other is told."""
    words = [*PROGRAM, "register", "anna", "--engine", "hibari", "--name", "heart", "--json"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = sorted((process.communicate(timeout=60)[0], process.returncode) for process in both)
    assert sorted(code for _, code in ends) == [0, 1]
    assert {json.loads(out).get("error", {}).get("code") for out, _ in ends} == {None, "refused"}
    assert voices_of(synth) == ["anna"]


def test_the_commands_show_it(synth: VoiceSynth) -> None:
    """`capabilities` and `list-speakers` as documents and as tables."""
    assert synth("capabilities", "--json").document == {"schema_version": 1, **capabilities_here()}
    assert synth("list-speakers", "--json").document == {"schema_version": 1, "speakers": speakers_here()}
    table = synth("list-speakers").out.splitlines()
    assert [line.split()[0] for line in table] == ["SPEAKER", *SPEAKERS]
    assert synth("capabilities").out.startswith("hibari: ready\n  version    hibari-tts-")
    assert "heart" in synth("capabilities").out
    # What is said of a recording is what is taken.
    lengths = f"{SHORTEST_REFERENCE_SECONDS:g} to {LONGEST_REFERENCE_SECONDS:g} s"
    assert f"a recording of the voice, {lengths}econds" in synth("capabilities").out
    assert lengths in " ".join(synth("register", "--help").out.split())
