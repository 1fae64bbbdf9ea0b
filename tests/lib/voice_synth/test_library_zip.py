"""A voice as one archive: the same bytes each time, and nothing in of what somebody hostile has made."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidInputError, NotFoundError, RefusedError
from lib.voice_synth import library_zip
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.library_changes import Registration, register
from lib.voice_synth.library_document import BrokenVoiceError
from lib.voice_synth.library_parts import CheckedSound
from lib.voice_synth.library_zip import export_voice, import_voice
from tests.lib.voice_synth.own_voices import MODEL, archive, described, document, own_voice, sound_entries, tree


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Where voices are imported; nobody has made it yet."""
    return tmp_path / "here" / "voices"


def test_a_voice_goes_to_another_machine_and_back(voices: Path, tmp_path: Path) -> None:
    """Everything of it arrives, and exporting it there gives the same file."""
    own_voice(voices, description="Reads softly.", language="English")
    register(voices, Registration("anna", CheckedSound("hibari", name="heart", speed=0.9)))
    first = export_voice(voices, "anna", tmp_path / "a.zip")
    there = tmp_path / "there" / "voices"
    assert import_voice(there, tmp_path / "a.zip") == first
    assert VoiceLibrary(there, check_files=True).require("anna").description == "Reads softly."
    export_voice(there, "anna", tmp_path / "b.zip")
    export_voice(voices, "anna", tmp_path / "c.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()


def test_an_archive_is_readable_by_anybody(voices: Path, tmp_path: Path) -> None:
    """A plain zip: voice.json first, its files after it."""
    own_voice(voices)
    export_voice(voices, "anna", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        assert (names[0], len(names)) == ("voice.json", 3)
        assert json.loads(opened.read("voice.json"))["slug"] == "anna"


def test_under_another_name_and_in_place_of_another(voices: Path, tmp_path: Path) -> None:
    """`slug` renames on the way in; a voice that is there goes only with `replace`, and then wholly."""
    own_voice(voices, content=b"old")
    register(voices, Registration("anna", CheckedSound("hibari", name="heart")))
    file = archive(tmp_path / "a.zip", sound_entries())
    assert import_voice(voices, file, slug="bert").slug == "bert"
    before = tree(voices)
    with pytest.raises(RefusedError, match="there already") as caught:
        import_voice(voices, file)
    assert "--as" in (caught.value.hint or "")
    assert tree(voices) == before
    assert set(import_voice(voices, file, replace=True).engines) == {"elsewhere"}
    assert len(list((voices / "anna").iterdir())) == 2


def test_the_built_in_name_is_not_to_be_had(voices: Path, tmp_path: Path) -> None:
    """Neither by the archive nor by the flag."""
    with pytest.raises(RefusedError, match="built in"):
        import_voice(voices, archive(tmp_path / "a.zip", sound_entries("newsroom")))
    with pytest.raises(RefusedError, match="built in"):
        import_voice(voices, archive(tmp_path / "b.zip", sound_entries()), slug="newsroom")
    with pytest.raises(InvalidInputError):
        import_voice(voices, archive(tmp_path / "c.zip", sound_entries()), slug="../x")
    assert tree(voices) == {}


def info(name: str, **changed: Any) -> zipfile.ZipInfo:
    """An entry with odd properties."""
    made = zipfile.ZipInfo(name)
    for attribute, value in changed.items():
        setattr(made, attribute, value)
    return made


LINK = (stat.S_IFLNK | 0o777) << 16
DEVICE = (stat.S_IFCHR | 0o666) << 16
VOICE = sound_entries()[0]
HOSTILE: list[tuple[str, list[tuple[str | zipfile.ZipInfo, bytes]], str]] = [
    ("parent", [*sound_entries(), ("../evil", b"x")], "plain file name"),
    ("absolute", [*sound_entries(), ("/tmp/evil", b"x")], "plain file name"),  # noqa: S108  a hostile name
    ("backslash", [*sound_entries(), ("..\\evil", b"x")], "plain file name"),
    ("drive", [*sound_entries(), ("C:evil", b"x")], "plain file name"),
    ("folder", [*sound_entries(), ("sub/", b"")], "plain file name"),
    ("in a folder", [*sound_entries(), ("sub/m.onnx", b"x")], "plain file name"),
    ("hidden", [*sound_entries(), (".bashrc", b"x")], "plain file name"),
    ("empty name", [*sound_entries(), (info("x", filename=""), b"x")], "plain file name"),
    ("letters of elsewhere", [*sound_entries(), ("m\u2024onnx", b"x")], "plain file name"),
    ("link", [VOICE, (info("m.onnx", external_attr=LINK), b"/etc/passwd")], "link"),
    ("device", [VOICE, (info("m.onnx", external_attr=DEVICE), MODEL)], "link"),
    ("foreign", [*sound_entries(), ("extra.sh", b"x")], "does not name"),
    ("missing", [VOICE], "lacks m.onnx"),
    ("nothing", [], "no voice.json"),
    ("no voice.json", [sound_entries()[1]], "no voice.json"),
    ("two voice.json", [*sound_entries(), ("VOICE.json", b"{}")], "plain file name"),
    ("other content", [VOICE, ("m.onnx", b"b model " * 100)], "other content"),
    ("other size", [VOICE, ("m.onnx", MODEL + b"!")], "another size"),
    ("broken voice.json", [("voice.json", b"{"), sound_entries()[1]], "no JSON"),
    ("newer voice.json", [("voice.json", b'{"schema_version": 9}')], "schema_version"),
    ("huge voice.json", [("voice.json", b" " * 300_000), sound_entries()[1]], "voice.json of"),
    ("many", [*sound_entries(), *((f"f{number}", b"") for number in range(100))], "at most"),
    ("odd packing", [VOICE, (info("m.onnx", compress_type=zipfile.ZIP_BZIP2), MODEL)], "packed"),
]


@pytest.mark.parametrize(("entries", "said"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_refused_and_leave_nothing(
    entries: list[tuple[str | zipfile.ZipInfo, bytes]], said: str, voices: Path, tmp_path: Path
) -> None:
    """The voices that are there stay as they are, and nothing appears anywhere else."""
    file = archive(tmp_path / "a.zip", entries)
    own_voice(voices, "zoe")
    before = tree(tmp_path)
    with pytest.raises(InvalidInputError, match=said) as caught:
        import_voice(voices, file, replace=True)
    assert str(file) in caught.value.message
    assert "export" in (caught.value.hint or "")
    assert tree(tmp_path) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["m.onnx", "M.ONNX"])
def test_a_name_that_stands_twice(second: str, voices: Path, tmp_path: Path) -> None:
    """Also in other letters: on some disks it is one file."""
    with pytest.raises(InvalidInputError, match="twice"):
        import_voice(voices, archive(tmp_path / "a.zip", [*sound_entries(), (second, MODEL)]))


def test_a_bomb_is_refused_by_its_ratio(voices: Path, tmp_path: Path) -> None:
    """Fifty megabytes out of fifty kilobytes: told from the directory, before a byte is unpacked."""
    zeros = bytes(50_000_000)
    entries = [("voice.json", json.dumps(_naming(zeros)).encode()), ("m.onnx", zeros)]
    with pytest.raises(InvalidInputError, match="200 times"):
        import_voice(voices, archive(tmp_path / "a.zip", entries, packed=True))
    assert tree(voices) == {}


def test_a_bomb_is_refused_by_its_size(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all files claim together counts, however each is packed."""
    monkeypatch.setattr(library_zip, "MAX_TOTAL_BYTES", 1_000)
    with pytest.raises(InvalidInputError, match="unpacks to"):
        import_voice(voices, archive(tmp_path / "a.zip", sound_entries()))


def test_a_bomb_that_lies_about_its_size(voices: Path, tmp_path: Path) -> None:
    """The directory says what voice.json says, the bytes are more: the surplus is never written."""
    real = random.Random(1).randbytes(50_000)  # noqa: S311  any bytes
    told = real[:1000]
    file = archive(tmp_path / "a.zip", [("voice.json", json.dumps(_naming(told)).encode()), ("m.onnx", real)])
    # The sizes of m.onnx in its own header and in the directory.
    file.write_bytes(file.read_bytes().replace(struct.pack("<L", len(real)), struct.pack("<L", len(told))))
    with pytest.raises(InvalidInputError):
        import_voice(voices, file)
    assert tree(voices) == {}


def _naming(content: bytes) -> dict[str, Any]:
    return document(engines={"elsewhere": {"files": {"model": described("m.onnx", content)}}})


def test_an_encrypted_archive(voices: Path, tmp_path: Path) -> None:
    """Nobody is asked for a password."""
    file = archive(tmp_path / "a.zip", sound_entries())
    raw = bytearray(file.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = raw.rindex(signature)
        raw[start + place] |= 1
    file.write_bytes(raw)
    with pytest.raises(InvalidInputError, match="encrypted"):
        import_voice(voices, file)


def test_a_directory_of_millions_is_not_read(voices: Path, tmp_path: Path) -> None:
    """The end of the archive says how large it is; a zip64 end would hide that, and a comment the end itself."""
    raw = archive(tmp_path / "a.zip", sound_entries()).read_bytes()
    end = raw[-22:]
    for name, tail in {
        "at most": end[:8] + struct.pack("<2H2L", 65_535, 65_535, 2**31, 0) + end[20:],
        "zip64": b"PK\x06\x07" + bytes(16) + end,
        "after its end": end[:20] + struct.pack("<H", 5) + b"hello",
    }.items():
        (tmp_path / "b.zip").write_bytes(raw[:-22] + tail)
        with pytest.raises(InvalidInputError, match=name):
            import_voice(voices, tmp_path / "b.zip")


@pytest.mark.parametrize("raw", [b"", b"PK", b"no zip at all, but long enough to be one", bytes(100)])
def test_what_is_no_archive(raw: bytes, voices: Path, tmp_path: Path) -> None:
    """Told as that."""
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(InvalidInputError, match="no zip archive"):
        import_voice(voices, tmp_path / "a.zip")


def test_files_that_are_not_there(voices: Path, tmp_path: Path) -> None:
    """Exit code 4 for an archive or voice that does not exist."""
    with pytest.raises(NotFoundError, match=r"absent\.zip"):
        import_voice(voices, tmp_path / "absent.zip")
    with pytest.raises(NotFoundError, match="anna"):
        export_voice(voices, "anna", tmp_path / "a.zip")
    with pytest.raises(InvalidInputError):
        import_voice(voices, tmp_path)


def test_a_broken_voice_is_not_exported(voices: Path, tmp_path: Path) -> None:
    """And an export that fails leaves no half archive, nor takes an old one away."""
    made = own_voice(voices)
    export_voice(voices, "anna", tmp_path / "a.zip")
    before = (tmp_path / "a.zip").read_bytes()
    model = next(name for name in made.stored_files if "model" in name)
    (voices / "anna" / model).write_bytes(b"x" * len(MODEL))
    with pytest.raises(BrokenVoiceError, match="sha256"):
        export_voice(voices, "anna", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    own_voice(voices, "zoe")
    with pytest.raises(InvalidInputError, match="nowhere"):
        export_voice(voices, "zoe", tmp_path / "nowhere" / "a.zip")


_SOUND_ZIP = io.BytesIO()
with zipfile.ZipFile(_SOUND_ZIP, "w", zipfile.ZIP_DEFLATED) as _made:
    for _name, _content in sound_entries():
        _made.writestr(_name, _content)


@given(st.data())
def test_any_damage_is_one_error_and_no_voice(data: st.DataObject) -> None:
    """Bytes changed, cut or doubled anywhere: either the voice is whole, or there is one error of ours and nothing."""
    raw = bytearray(_SOUND_ZIP.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["set", "cut", "put"])):
            case "set":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 40))]
            case "put":
                raw[at:at] = data.draw(st.binary(max_size=40))
        if not raw:
            raw = bytearray(b"PK")
    _imported_whole_or_not_at_all(bytes(raw))


_NAMES = st.one_of(
    st.sampled_from(["voice.json", "m.onnx", "../m.onnx", "/m.onnx", "a/../../b", "CON", "m.onnx\x00.txt", "..", "."]),
    st.text(max_size=12),
)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=50), st.integers(0, 0xFFFF)), max_size=4))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_entry_gets_out(entries: list[tuple[str, bytes, int]]) -> None:
    """Whatever names and kinds stand beside a sound voice, no file appears outside its folder."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, content in sound_entries():
            opened.writestr(name, content)
        for odd, content, mode in entries:
            opened.writestr(info("x", filename=odd, external_attr=mode << 16), content)
    _imported_whole_or_not_at_all(made.getvalue())


def _imported_whole_or_not_at_all(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "a.zip").write_bytes(raw)
        try:
            import_voice(place / "voices", place / "a.zip")
        except (InvalidInputError, RefusedError):
            assert tree(place / "voices") == {}
        else:
            [listed] = VoiceLibrary(place / "voices", check_files=True).listed()
            assert listed.broken is None
        assert {path.name for path in place.iterdir()} <= {"a.zip", "voices"}
