"""A local store beside a work directory, on a real disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.stores.artifacts import LocalArtifacts, StoredOutput
from lib.tasks.base import Output

if TYPE_CHECKING:
    from pathlib import Path


class Bench:
    """A store, and a work directory whose files can be put into it."""

    def __init__(self, base: Path) -> None:
        self.work = base / "work"
        self.work.mkdir()
        self.root = base / "out"
        self.store = LocalArtifacts(self.root)

    def made(self, **files: bytes) -> list[Output]:
        """Outputs of these names (`__` for a dot) and bytes, as a task returns them."""
        outputs = []
        for key, content in files.items():
            name = key.replace("__", ".")
            (self.work / name).write_bytes(content)
            outputs.append(Output(name, self.work / name, "take"))
        return outputs

    async def put(self, job_dir: str, **files: bytes) -> list[StoredOutput]:
        """Make these files and store them."""
        return await self.store.put(job_dir, self.made(**files))

    def published(self, output_name: str) -> dict[str, bytes]:
        """What a person finds in the published directory."""
        found = (self.root / output_name).iterdir()
        return {path.name: path.read_bytes() for path in found if not path.name.startswith(".")}

    def leftovers(self) -> list[str]:
        """Temporary files that somebody forgot."""
        return [str(path) for path in self.root.rglob(".tmp-*")]
