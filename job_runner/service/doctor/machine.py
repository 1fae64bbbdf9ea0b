"""This machine: misspelt settings, directories, tasks."""

from __future__ import annotations

import difflib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from job_runner.service.doctor.checks import Check
from lib.dotenv_lines import DOTENV, MEND, unread_lines
from lib.errors import JobRunnerError
from lib.setting_slips import misspelt
from lib.settings import process_environment, variable_name, variables
from lib.wiring import tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lib.settings import Settings

_OUR_NAMES: Final = ("JOBS_", "WATCHER_", "METAL_", "CALLBACK_", "REDIS_URL", "S3_", "QWEN_TTS_")
"""How names begin that few others set; what is near to a setting is found by itself."""


def machine_checks(settings: Settings) -> list[Check]:
    """Names, directories and task modules; blocks on the disk."""
    return [
        *_names(process_environment()),
        *_dotenv(Path(DOTENV)),
        _directory("state", settings),
        _directory("output", settings),
        _task_modules(settings),
    ]


def _names(environ: Mapping[str, str]) -> list[Check]:
    """Variables that look like ours and are read by nobody: most often a slip of the fingers."""
    known = {variable_name(variable) for variable in variables()}
    meant = dict(misspelt(environ))
    return [
        Check("settings", "note", f"{name} is set and is no setting", _meant(meant.get(name), name, known))
        for name in sorted(environ)
        if name in meant or (name not in known and name.startswith(_OUR_NAMES))
    ]


def _dotenv(path: Path) -> list[Check]:
    return [
        Check("settings", "note", f"{path}:{line} is no setting and is left out", MEND) for line in unread_lines(path)
    ]


def _meant(found: str | None, name: str, known: Iterable[str]) -> str:
    near = [found] if found else difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else "see .env.example for every name"


def _directory(which: Literal["state", "output"], settings: Settings) -> Check:
    path = settings.jobs_state_dir if which == "state" else settings.watcher_output_root
    variable = "JOBS_STATE_DIR" if which == "state" else "WATCHER_OUTPUT_ROOT"
    nearest = next((each for each in (path, *path.parents) if each.exists()), path)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as exc:
        return Check(which, "wrong", f"{path}: {exc.strerror}", f"make it writable, or set {variable}")
    return Check(which, "ok", f"{path}" if nearest == path else f"{path} (not there yet; it can be made)")


def _task_modules(settings: Settings) -> Check:
    try:
        names: Sequence[str] = tasks(settings).catalogue.names
    except JobRunnerError as exc:
        return Check("tasks", "wrong", exc.message, exc.hint or "")
    return Check("tasks", "ok", ", ".join(names))
