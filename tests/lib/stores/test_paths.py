"""No output name leaves its root: on a real disk, with symlinks laid in its way."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidInputError
from lib.stores.paths import safe_join
from tests.lib.jobqueue.strategies import names


def test_a_name_becomes_a_place_below_the_root(tmp_path: Path) -> None:
    """Nothing need exist, and nothing is made."""
    assert safe_join(tmp_path, "topic/beat-001") == tmp_path / "topic" / "beat-001"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "a\\b", "%2e%2e/a", "a\0b", "", ".", "a//b"])
def test_a_forbidden_name_is_refused_here_too(tmp_path: Path, name: str) -> None:
    """A record may come from an older version with softer rules."""
    with pytest.raises(InvalidInputError, match="output_name"):
        safe_join(tmp_path, name)


@pytest.mark.parametrize("name", ["link", "link/a", "real/link", "real/link/a/b"])
def test_a_symlink_on_the_way_is_refused(tmp_path: Path, name: str) -> None:
    """Neither the last part nor one on the way may lead elsewhere, even to a place inside the root."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "real" / "link").symlink_to(root)
    with pytest.raises(InvalidInputError, match="symlink") as caught:
        safe_join(root, name)
    assert caught.value.hint


def test_a_dangling_symlink_is_refused(tmp_path: Path) -> None:
    """Writing through it would make the file that it points to."""
    (tmp_path / "link").symlink_to(tmp_path.parent / "nowhere")
    with pytest.raises(InvalidInputError, match="symlink"):
        safe_join(tmp_path, "link")


def test_a_file_on_the_way_is_refused(tmp_path: Path) -> None:
    """A name below a file can never be."""
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InvalidInputError, match="through a file, 'taken'"):
        safe_join(tmp_path, "taken/below/it")


def test_the_root_itself_may_be_a_symlink(tmp_path: Path) -> None:
    """Where outputs go is its owner's choice; the answer is the real place."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    assert safe_join(tmp_path / "root", "a") == (tmp_path / "disk" / "a").resolve()


_PARTS = st.sampled_from(["out", "up", "in", "dir", "a", "..", ".", "", "etc"])


@settings(deadline=None)
@given(st.lists(_PARTS, min_size=1, max_size=6).map("/".join) | names)
def test_no_name_at_all_leaves_a_root_full_of_symlinks(name: str) -> None:
    """Whatever is answered lies below the root after the disk has resolved every link."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve() / "root"
        (root / "dir").mkdir(parents=True)
        (root / "out").symlink_to("/")
        (root / "up").symlink_to("..")
        (root / "in").symlink_to(root / "dir")
        (root / "dir" / "out").symlink_to("/etc")
        try:
            joined = safe_join(root, name)
        except InvalidInputError:
            return
        assert joined.resolve() == joined
        assert root in joined.parents
