"""What the page about failures says to type to free the disk removes nothing that a record or the cache needs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/how-to/when-something-fails.md"
HISTORY = "./run job-runner history --limit 100000 --json"


def test_only_attempts_without_a_record_are_listed(tmp_path: Path) -> None:
    """Not what was made, nor what a job was given of an earlier one, nor the entries of the cache."""
    job, other = "0b" * 16, "1c" * 16
    kept = [f"{job}/1795397652872609-1795397655794689", f"{other}/1795397657052158-1795397657868185-taken"]
    lost = [f"{job}/1795397652872609-1795397655794000", f"{other}/1795397657052158-1795397657868000-taken"]
    for each in (*kept, *lost, f".cache/{'ab' * 32}"):
        (tmp_path / ".state/output/.store" / each).mkdir(parents=True)
    records = {"records": [{"uri": f"file://{tmp_path}/.state/output/.store/{each}/take_01.wav"} for each in kept]}
    (tmp_path / "history").write_text(json.dumps(records))
    (block,) = [each for each in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "> unnamed" in each]
    assert HISTORY in block
    subprocess.run(["sh", "-c", block.replace(HISTORY, "cat history")], cwd=tmp_path, check=True)
    assert sorted((tmp_path / "unnamed").read_text().split()) == sorted(f".store/{each}" for each in lost)
