"""What the conductor would say in a simulation, and when: its own herald, heard by a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from job_watcher.herald import Herald

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.routing.view import Decision


@dataclass(slots=True)
class Told:
    """The lines said so far, each with its milliseconds."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    _now_ms: int = 0
    _herald: Herald = field(init=False)

    def __post_init__(self) -> None:
        self._herald = Herald(self._hear)

    def fed(self, now_ms: int, decision: Decision, counts: Sequence[int]) -> None:
        """Orders were carried out: so many jobs of each."""
        self._now_ms = now_ms
        self._herald.fed(decision, counts)

    def seen(self, now_ms: int, decision: Decision) -> None:
        """A decision was made from what really is, and there is nothing more to move."""
        self._now_ms = now_ms
        self._herald.seen(decision)

    def _hear(self, text: str, _: Mapping[str, Any]) -> None:
        self.lines.append((self._now_ms, text))
