"""A file that a person names is replaced; a device, pipe or directory is left alone, whoever asks."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from lib.errors import InvalidInputError
from lib.voice_synth.cli.app import main
from lib.voice_synth.replaceable import require_replaceable

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_free_or_a_file_may_be_replaced(tmp_path: Path) -> None:
    """The two cases that people mean; a link to a file counts as one."""
    file = tmp_path / "a.json"
    require_replaceable(file, "--out")
    file.write_text("old")
    require_replaceable(file, "--out")
    link = tmp_path / "link"
    link.symlink_to(file)
    require_replaceable(link, "--out")


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_anything_else_is_named(tmp_path: Path, kind: str) -> None:
    """With the option, the path and what it is."""
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(InvalidInputError, match=f"--out {path} is a .*{kind}"):
        require_replaceable(path, "--out")


@pytest.mark.parametrize(
    "words",
    [
        ("speak", "--voice", "newsroom", "--text", "Hello.", "--out-exact", "out", "--json-result", "pipe"),
        ("export", "slow", "--out", "pipe"),
    ],
)
def test_no_command_takes_a_pipe_or_device_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Exit code 2, and what stands there stands there still."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WATCHER_VOICES_DIR", str(tmp_path / "voices"))
    assert main(("register", "slow", "--engine", "hibari", "--name", "heart", "--speed", "0.9")) == 0
    os.mkfifo(tmp_path / "pipe")
    assert main(words) == 2
    assert "is a device or pipe, not a file" in capsys.readouterr().err
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
