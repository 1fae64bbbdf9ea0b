"""The folder of clips stays within its bound, gives what is whole, and never stands in the way of speech."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lib.voice_synth.clip_folder import ClipFolder, Kept, Tidied
from lib.voice_synth.clips import MOST_CLIP_BYTES, to_bytes
from tests.lib.voice_synth.kept_clips import clip

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1 << 20
AN_HOUR = 3600.0

MANY_WRITERS = """
import sys
from pathlib import Path
from tests.lib.voice_synth.kept_clips import clip
from tests.lib.voice_synth.test_clip_folder import MOST, folder_in, key
folder = folder_in(Path(sys.argv[1]), MOST // 4)
bad = 0
for number in range(40):
    found = folder.find(key(number))
    bad += found not in (None, clip(number, size=8_000))
    folder.keep(key(number), clip(number, size=8_000))
print(bad)
"""


def key(number: int) -> str:
    """A key."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def folder_in(directory: Path, most: int = MOST) -> ClipFolder:
    """A folder that takes the last byte of a disk, as tests may run on a small one."""
    return ClipFolder(directory, most, least_free_bytes=0)


def file_of(folder: ClipFolder, number: int) -> Path:
    """Where a clip lies."""
    return folder.directory / key(number)[:2] / key(number)


def filled(directory: Path, numbers: range, size: int = 20_000, most: int = MOST) -> ClipFolder:
    """With clips of that size, each used a second after the one before, long ago."""
    folder = folder_in(directory, most)
    for number in numbers:
        folder.keep(key(number), clip(number, size=size))
        used(folder, number, number)
    return folder


def used(folder: ClipFolder, number: int, second: int) -> None:
    """Set when it was used."""
    path = file_of(folder, number)
    if path.exists():
        os.utime(path, (1000.0 + second, 1000.0 + second))


def there(folder: ClipFolder, numbers: range) -> list[int]:
    """Which of these are in the folder."""
    return [number for number in numbers if file_of(folder, number).exists()]


def test_what_was_kept_is_found_by_every_process(tmp_path: Path) -> None:
    """By another object of the same folder, to the last bit; another key finds nothing."""
    folder_in(tmp_path / "new").keep(key(1), clip(1))
    other = folder_in(tmp_path / "new")
    assert (other.find(key(1)), other.find(key(2))) == (clip(1), None)
    other.keep(key(1), clip(9))
    assert folder_in(tmp_path / "new").find(key(1)) == clip(9)


def test_others_cannot_read_it(tmp_path: Path) -> None:
    """It is somebody's text, spoken."""
    folder = filled(tmp_path, range(1))
    path = file_of(folder, 0)
    assert (path.stat().st_mode & 0o077, path.parent.stat().st_mode & 0o077) == (0, 0)


def test_it_stays_within_its_bound_at_every_moment(tmp_path: Path) -> None:
    """Of one process, whatever is written."""
    folder = folder_in(tmp_path)
    for number in range(60):
        folder.keep(key(number), clip(number, size=60_000))
        assert folder.kept().bytes <= MOST
    assert folder.kept().bytes > MOST // 2
    assert file_of(folder, 59).exists()


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    """To be found is to be used."""
    folder = filled(tmp_path, range(45))
    assert folder.find(key(0)) is not None
    filled(tmp_path, range(100, 115))
    left = there(folder, range(45))
    assert 0 in left
    assert left[1:] == list(range(left[1], 45))
    assert left[1] > 5


def test_a_clip_that_is_damaged_is_never_given(tmp_path: Path) -> None:
    """Cut, changed, or of another name: removed, and made anew."""
    folder = filled(tmp_path, range(3))
    cut, changed, other = (file_of(folder, number) for number in range(3))
    cut.write_bytes(cut.read_bytes()[:-2])
    raw = bytearray(changed.read_bytes())
    raw[-1] ^= 1
    changed.write_bytes(raw)
    other.write_bytes(to_bytes(key(7), clip(7)))
    assert [folder.find(key(number)) for number in range(3)] == [None, None, None]
    assert there(folder, range(3)) == []
    folder.keep(key(0), clip(0))
    assert folder.find(key(0)) == clip(0)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """What it leads to may be anybody's, and is left alone; so is a directory or a pipe in a clip's place."""
    folder = filled(tmp_path / "clips", range(1))
    file_of(folder, 0).rename(tmp_path / "elsewhere")
    file_of(folder, 0).symlink_to(tmp_path / "elsewhere")
    assert folder.find(key(0)) is None
    assert (tmp_path / "elsewhere").exists()
    file_of(folder, 1).parent.mkdir(exist_ok=True)
    os.mkfifo(file_of(folder, 1))
    file_of(folder, 2).mkdir(parents=True)
    assert (folder.find(key(1)), folder.find(key(2))) == (None, None)
    folder.keep(key(2), clip(2))
    assert folder.find(key(2)) is None


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    """A sixteenth of the folder is the most; a file beyond all measure is not even read."""
    folder = folder_in(tmp_path)
    folder.keep(key(0), clip(0, size=MOST // 16 + 2))
    assert folder.kept() == Kept(0, 0)
    file_of(folder, 1).parent.mkdir(parents=True, exist_ok=True)
    with file_of(folder, 1).open("wb") as opened:
        opened.truncate(2 * MOST_CLIP_BYTES)
    assert folder.find(key(1)) is None


def test_zero_switches_it_off(tmp_path: Path) -> None:
    """Nothing is kept or found, and `tidy` removes what there is."""
    filled(tmp_path, range(3))
    off = folder_in(tmp_path, 0)
    off.keep(key(9), clip(9))
    off.forget([key(0)])
    assert off.find(key(0)) is None
    assert off.kept().clips == 3
    assert off.tidy() == Tidied(Kept(0, 0), 3)


def test_a_disk_that_is_nearly_full_is_left_to_outputs(tmp_path: Path) -> None:
    """No clip is written then, and none is lost."""
    filled(tmp_path, range(1))
    full = ClipFolder(tmp_path, MOST, least_free_bytes=1 << 60)
    full.keep(key(1), clip(1))
    assert there(full, range(3)) == [0]
    assert full.find(key(0)) == clip(0, size=20_000)


def test_a_disk_that_is_full_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way leaves nothing."""
    folder = folder_in(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    folder.keep(key(0), clip(0))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_a_folder_that_cannot_be_used_is_no_error(tmp_path: Path, place: str) -> None:
    """Nothing is kept or found there."""
    (tmp_path / "file").write_text("")
    folder = folder_in(tmp_path / "file" if place == "a file" else tmp_path / "file" / "clips")
    folder.keep(key(0), clip(0))
    folder.forget([key(0)])
    assert (folder.find(key(0)), folder.kept(), folder.tidy()) == (None, Kept(0, 0), Tidied(Kept(0, 0), 0))


def test_forgotten_clips_are_gone(tmp_path: Path) -> None:
    """And one that was not there is none the less."""
    folder = filled(tmp_path, range(3))
    folder.forget([key(1), key(7)])
    assert there(folder, range(3)) == [0, 2]


def test_tidy_drops_what_is_beyond_the_bound_or_old(tmp_path: Path) -> None:
    """The oldest first; what stands in the folder and is no clip is nobody's to remove."""
    filled(tmp_path, range(10))
    (tmp_path / "notes.txt").write_text("mine")
    smaller = folder_in(tmp_path, 110_000)
    tidied = smaller.tidy()
    assert (tidied.dropped, tidied.kept.clips) == (5, 5)
    assert tidied.kept == smaller.kept()
    assert there(smaller, range(10)) == list(range(5, 10))
    assert smaller.tidy(before=1000.0 + 8).dropped == 3
    assert there(smaller, range(10)) == [8, 9]
    assert (tmp_path / "notes.txt").exists()


def test_half_written_files_of_the_dead_go(tmp_path: Path) -> None:
    """An hour later; what is written now is left."""
    folder = filled(tmp_path, range(1))
    old, new = (file_of(folder, 0).parent / f".{name}.part" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * AN_HOUR,) * 2)
    folder.tidy()
    assert (old.exists(), new.exists(), there(folder, range(1))) == (False, True, [0])


def test_several_processes_share_it(tmp_path: Path) -> None:
    """Two write the same clips into a folder that has not room for all: none finds a wrong or a half one."""
    said = [
        subprocess.Popen([sys.executable, "-c", MANY_WRITERS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [writer.communicate()[0].strip() for writer in said] == ["0", "0"]
    folder = folder_in(tmp_path)
    assert 0 < folder.kept().bytes <= MOST // 4 * 17 // 16
    assert not list(tmp_path.rglob("*.part"))
    assert all(folder.find(path.name) is not None for path in tmp_path.rglob("?" * 64))


def test_the_folder_of_a_machine(tmp_path: Path) -> None:
    """In the state directory."""
    assert ClipFolder.of_machine(tmp_path, 1 << 30).directory == tmp_path / "clips"
