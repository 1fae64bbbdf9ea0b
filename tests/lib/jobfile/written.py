"""Files as a person writes them, and what is said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.jobfile import FileJob, FileRules, check_file, read_jobs

if TYPE_CHECKING:
    from pathlib import Path

JOB = '- {output_name: "a", voice: v, text: "t"}\n'


def written(folder: Path, content: str | bytes) -> Path:
    """A file of this content."""
    path = folder / "jobs.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def said(folder: Path, content: str | bytes, **rules: Any) -> list[str]:
    """Every problem of the file as `LINE: WHERE: MESSAGE`."""
    path = written(folder, content)
    problems = check_file(path, FileRules(**rules)).problems
    for problem in problems:
        assert problem.source == str(path)
        str(problem).encode()
        assert str(problem).isprintable()
        assert len(str(problem)) < 700
    return [str(problem).removeprefix(f"{path}:") for problem in problems]


def jobs(folder: Path, content: str | bytes, **rules: Any) -> list[FileJob]:
    """The jobs of a valid file."""
    return list(read_jobs(written(folder, content), FileRules(**rules)))
