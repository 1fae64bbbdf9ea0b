"""The answer of one check, and all of them together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "mended", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """The answer of one check; `mend` says what to do when it is not `ok`."""

    name: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All answers."""

    checks: tuple[Check, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.state != "wrong" for check in self.checks)

    def reached_redis(self) -> bool:
        """Whether the server answered."""
        return any(check.name == "version" for check in self.checks)

    def document(self) -> dict[str, Any]:
        """The JSON of `doctor`."""
        return {"ok": self.sound, "checks": [asdict(check) for check in self.checks]}
