"""What came of a host is believed only if it is exactly what the job makes: names, bytes, sound, documents."""

from __future__ import annotations

import hashlib
import json
import shutil
import wave
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.hosts.arrivals import UnsoundError, check_bytes, check_sound, claims_of, expected, result_in
from job_watcher.hosts.sound import fault_in
from lib.stores.handover import Claim
from lib.voice_synth.speaking import speak_row
from tests.job_watcher.hosts.batching import job
from tests.job_watcher.hosts.nursery import speech_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SPEC = job(variants=2, select_best=True)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a worker makes of the job; not to be changed."""
    directory = tmp_path_factory.mktemp("made")
    row = {"text": SPEC.text, "voice": SPEC.voice, "variants": 2, "select_best": True}
    engines = speech_of(directory / "voices")._engines
    speak_row(row, directory=directory, watch=list, engines=engines)
    return directory


@pytest.fixture
def made(honest: Path, tmp_path: Path) -> Path:
    """A copy."""
    return shutil.copytree(honest, tmp_path / "made")


def claims_in(directory: Path) -> tuple[Claim, ...]:
    """The claims that fit what lies there."""
    kinds = expected(SPEC)
    files = [(name, (directory / name).read_bytes()) for name in kinds]
    return claims_of(
        SPEC,
        [
            {
                "name": name,
                "kind": kinds[name],
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in files
        ],
    )


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a document."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_what_an_honest_host_made_is_the_result_of_the_job(made: Path) -> None:
    """Every file passes, and the result is the one that the task itself gives."""
    claims = claims_in(made)
    for claim in claims:
        check_bytes(claim, made / claim.name)
        check_sound(SPEC, claim, made / claim.name)
    assert [claim.kind for claim in claims] == ["take", "take", "best", "meta", "meta", "meta"]
    result = result_in(SPEC, made, claims)
    assert set(result) == {"model", "substituted_voice", "ignored_fields", "selected_take", "timings", "takes"}
    assert [take["seed"] for take in result["takes"]] == [0, 1]


DOCUMENTS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "of another request": ("result.json", lambda it: it["request"].update(text="Pay me."), "another request"),
    "of another voice": ("result.json", lambda it: it["request"].update(voice="anna"), "another request"),
    "with another digest": ("result.json", lambda it: it["files"][0].update(sha256="0" * 64), "name other files"),
    "with a file less": ("result.json", lambda it: it["files"].pop(), "name other files"),
    "with a take twice": ("takes.meta.json", lambda it: it["takes"].append(it["takes"][0]), "name other files"),
    "without takes": ("takes.meta.json", lambda it: it.pop("takes"), "not those of a job: KeyError"),
    "with takes of another kind": ("takes.meta.json", lambda it: it.update(takes=7), "not those of a job: TypeError"),
    "without a selection": ("result.json", lambda it: it.pop("selection"), "not those of a job"),
    "with another best take": (
        "result.json",
        lambda it: it["selection"].update(selected_take=3 - it["selection"]["selected_take"]),
        "not the selected take",
    ),
    "with a take that is none": ("result.json", lambda it: it["selection"].update(selected_take=17), "not those of"),
    "with no number": ("result.json", lambda it: it["selection"].update(selected_take=True), "not the selected take"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_do_not_agree_are_refused(made: Path, name: str) -> None:
    """Their bytes are as claimed, and what they say is not of these files or not of this job."""
    file, change, said = DOCUMENTS[name]
    rewritten(made / file, change)
    if file == "takes.meta.json":
        content = (made / file).read_bytes()
        told = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        rewritten(made / "result.json", lambda it: [e.update(told) for e in it["files"] if e["name"] == file])
    with pytest.raises(UnsoundError, match=said):
        result_in(SPEC, made, claims_in(made))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_junk_for_a_document_is_refused(made: Path, content: bytes) -> None:
    """Whatever it is."""
    claims = claims_in(made)
    (made / "result.json").write_bytes(content)
    with pytest.raises(UnsoundError):
        result_in(SPEC, made, claims)


def wav(path: Path, samples: Sequence[int], *, rate: int = 24_000, channels: int = 1, width: int = 2) -> Path:
    """A WAV file."""
    with wave.open(str(path), "wb") as opened:
        opened.setnchannels(channels)
        opened.setsampwidth(width)
        opened.setframerate(rate)
        opened.writeframes(array("h", samples).tobytes())
    return path


TONE = [8_000, -8_000] * 24_000


def test_sound_that_can_be_listened_to_has_no_fault(tmp_path: Path) -> None:
    """Two seconds for a short text."""
    assert fault_in(wav(tmp_path / "a.wav", TONE), "A line to say.") is None


@pytest.mark.parametrize(
    ("samples", "options", "said"),
    [
        ([0] * 24_000, {}, "silent"),
        ([32_767, -32_768] * 12_000, {}, "clipped"),
        (TONE[:200], {}, "cut short"),
        ([], {}, "no sound"),
        (TONE, {"channels": 2}, "no 16-bit mono"),
        (TONE, {"width": 1}, "no 16-bit mono"),
        (TONE, {"rate": 1}, "sample rate is 1"),
    ],
)
def test_sound_that_nobody_could_listen_to_is_named(
    tmp_path: Path, samples: list[int], options: dict[str, int], said: str
) -> None:
    """By the measures of speech that we make ourselves."""
    fault = fault_in(wav(tmp_path / "a.wav", samples, **options), "A line to say.")
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html>not found</html>", b"RIFF\xff\xff\xff\xffWAVE"])
def test_what_is_no_wav_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Junk, and half a header."""
    (tmp_path / "a.wav").write_bytes(content)
    fault = fault_in(tmp_path / "a.wav", "A line to say.")
    assert fault is not None
    assert "no whole WAV file" in fault


def test_a_file_that_has_less_sound_than_its_header_says_is_cut_off(tmp_path: Path) -> None:
    """As after a broken copy."""
    content = wav(tmp_path / "a.wav", TONE).read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    assert "cut off" in str(fault_in(tmp_path / "a.wav", "A line to say."))


def test_the_sound_of_a_claim_is_named_with_its_file(tmp_path: Path) -> None:
    """A document is not listened to."""
    path = wav(tmp_path / "take_01.wav", [0] * 24_000)
    with pytest.raises(UnsoundError, match=r"take_01\.wav: the audio is silent"):
        check_sound(SPEC, Claim("take_01.wav", "take", 1, "0" * 64), path)
    check_sound(SPEC, Claim("takes.meta.json", "meta", 1, "0" * 64), path)


def test_a_long_text_may_make_a_large_file_and_a_short_one_may_not() -> None:
    """The bound follows from the text, so that a host cannot fill the disk of a watcher."""

    def claimed(text: str, size: int) -> tuple[Claim, ...]:
        spec = job(text)
        raw = text.encode()
        sizes = {"take_01.wav": size, "text.txt": len(raw)}
        digests = {"text.txt": hashlib.sha256(raw).hexdigest()}
        files = [
            {"name": name, "kind": kind, "bytes": sizes.get(name, 9), "sha256": digests.get(name, "0" * 64)}
            for name, kind in expected(spec).items()
        ]
        return claims_of(spec, files)

    assert claimed("word " * 2_000, 500_000_000)
    with pytest.raises(UnsoundError, match="cannot be"):
        claimed("word", 50_000_000)
