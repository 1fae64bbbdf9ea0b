"""The same file through `run` and through queue and watcher: the same audio, the same records but for times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.watchers import RUNNER, WatcherProcess, environment_of, run_program

if TYPE_CHECKING:
    from pathlib import Path

ROWS: list[dict[str, Any]] = [
    {"output_name": "a/verbatim", "voice": "newsroom", "text": "  “Well,” —\r\n\tnaïve. 😀\n"},
    {"output_name": "b/speaker", "speaker": "Vivian", "text": "A stand-in.", "instruct": "--calm"},
    {"output_name": "b/takes", "voice": "newsroom", "text": "Two.", "variants": 2, "select_best": True},
    {
        "output_name": "c/chunked",
        "voice": "newsroom",
        "text": "One sentence. Another; a third.",
        "chunk": True,
        "profile": "expressive",
        "temperature": 0.3,
        "top_p": 0.123456789,
        "max_new_tokens": 7,
        "tone": "warm",
        "callback_data": {"a": 1},
        "priority": "high",
    },
]


def files_below(root: Path) -> dict[str, bytes]:
    """What was made for each job, by relative path."""
    names = [row["output_name"] for row in ROWS]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for name in names
        for path in (root / name).iterdir()
        if path.is_file() and not path.name.startswith(".")
    }


def without_times(result: bytes) -> dict[str, Any]:
    """result.json but for its timings."""
    document: dict[str, Any] = json.loads(result)
    assert document.pop("timings")["total_sec"] > 0
    return document


async def test_run_and_watcher_make_the_same(tmp_path: Path, valkey_url: str, prefix: str) -> None:
    """Each WAV, text and takes.meta.json byte for byte; result.json but for its timings."""
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": ROWS}))
    environ = environment_of(valkey_url, prefix, tmp_path / "state", {})

    # Elsewhere, or the second would be given the sentences of the first.
    elsewhere = environment_of(valkey_url, prefix, tmp_path / "elsewhere", {})
    code, _, err = await run_program(RUNNER, "run", "jobs.yaml", "--out", "ran", environ=elsewhere, cwd=tmp_path)
    assert code == 0, err
    code, _, err = await run_program(RUNNER, "enqueue", "jobs.yaml", environ=environ, cwd=tmp_path)
    assert code == 0, err
    watcher = WatcherProcess("w", valkey_url, prefix, tmp_path / "state", flags=("--drain",))
    watcher.start()
    try:
        assert await watcher.ended() == 0, watcher.log
    finally:
        watcher.kill()

    ran, watched = files_below(tmp_path / "ran"), files_below(tmp_path / "state" / "output")
    assert ran.keys() == watched.keys()
    assert sum(name.endswith(".wav") for name in ran) == 6
    for name, content in ran.items():
        if name.endswith("/result.json"):
            assert without_times(content) == without_times(watched[name]), name
        else:
            assert content == watched[name], name
    for row in ROWS:
        assert ran[f"{row['output_name']}/text.txt"] == row["text"].encode()
