"""What jobs will not get, or did not get, exactly as asked: one line for each such thing, with how many jobs it meets.

`enqueue`, `run` and `report` tell it, as `plan` does; a script that asks for JSON finds it in the records.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from job_runner.cli.tables import counted
from lib.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.command_line.output import Output


class Notes:
    """Counts notes, and says them at the end."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, notes: Iterable[str]) -> None:
        """What is to be said of one job."""
        self._counts.update(notes)

    def say(self, output: Output) -> None:
        """In the order in which they came; nothing with --json."""
        if output.as_json:
            return
        for note, count in self._counts.items():
            output.say(f"note: {clean(note)} ({counted(count, 'job')})")


def spoken_by_another(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What a record says of a voice that spoke in the place of another; empty when none did."""
    result = record.get("result")
    found = result.get("substituted_voice") if isinstance(result, dict) else None
    if not isinstance(found, dict):
        return ()
    return (f"{found.get('asked')} was spoken by {found.get('engine')}'s {found.get('used')}",)
