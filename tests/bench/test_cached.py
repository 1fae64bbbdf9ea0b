"""What the bench of the cache counts."""

from __future__ import annotations

from typing import Any

from bench.cached import Round, Told, round_of, rows, story, told_of
from lib.voice_synth.chunking import chunks_of


def record(number: int, *, cached: bool) -> dict[str, Any]:
    """A done record of one second."""
    result = {"cached": {"request_id": "a", "key": "k"}} if cached else {}
    return {
        "status": "done",
        "record": {
            "started_at": f"2026-01-01T00:00:0{number}.000Z",
            "completed_at": f"2026-01-01T00:00:0{number + 1}.000Z",
            "result": result,
        },
    }


def test_a_round_counts_what_was_spoken() -> None:
    """Jobs that were taken are done as well; one that failed is neither; the time is that of all."""
    report = {"rows": [record(0, cached=False), record(3, cached=True), {"status": "failed", "record": {}}]}
    assert round_of(report) == Round(2, 1, 4.0)


def test_files_differ_in_names_and_in_one_word() -> None:
    """Or the rounds would measure something else."""
    first, again = rows("x", 5).splitlines(), rows("y", 5).replace("y/", "x/").splitlines()
    changed = rows("x", 5, changed=2).splitlines()
    assert first == again
    assert [number for number in range(5) if first[number] != changed[number]] == [2]
    assert len({line.partition("text:")[2] for line in first}) == 5


def test_a_text_differs_in_one_sentence() -> None:
    """By the borders that speech has."""
    first, changed = (chunks_of(story("x", 40, at).partition("text:")[2]) for at in (None, 20))
    assert len(first) == len(set(first)) == 40
    assert [number for number in range(40) if first[number] != changed[number]] == [20]


def test_a_text_counts_what_was_spoken() -> None:
    """By its result."""
    result = {"sentences": {"at_hand": 39, "of": 40}, "timings": {"synth_sec": 0.1}}
    assert told_of({"rows": [{"record": {"result": result}}]}) == Told(1, 40, 0.1)
