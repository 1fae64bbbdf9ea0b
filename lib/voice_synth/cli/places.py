"""Where the voices of a command are: its flag, else the setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def voices_directory(flag: Path | None) -> Path:
    """`--voices-dir`, else WATCHER_VOICES_DIR; with the flag no setting is read."""
    return flag if flag is not None else Settings.load().watcher_voices_dir
