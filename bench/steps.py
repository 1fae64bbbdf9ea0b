"""How far a measure is, and what it has found so far: kept also when its time runs out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.figure import Found

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Steps:
    """Called once a run; `told` gets how many there were. A measure of minutes puts what it has into `found`."""

    told: Callable[[int], object]
    found: Found = field(default_factory=Found)
    count: int = 0

    def __call__(self) -> None:
        """One more run is over."""
        self.count += 1
        self.told(self.count)
