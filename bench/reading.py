"""Reads one job file in a process of its own and prints how long that took and how much memory.

    python -m bench.reading load|rows FILE

`load` is `yaml.load` with libyaml's safe loader, which makes one object of all; `rows` is ours, one row at a time, the
parsing alone. `python -m bench.reading run PROGRAM ...` starts a program and
prints the same of it. `bench.plans` starts these: memory is that of a process from its start, so each needs its own.
"""

# ruff: noqa: PLC0415 - what a way does not need must not count into its memory

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def load(path: Path) -> dict[str, float]:
    """By PyYAML, whole."""
    import yaml

    begun = time.perf_counter()
    with path.open("rb") as stream:
        found = yaml.load(stream, Loader=yaml.CSafeLoader)
    return told(begun, len(found["jobs"]))


def rows(path: Path) -> dict[str, float]:
    """The parsing of ours alone."""
    from lib.jobfile.findings import Findings
    from lib.jobfile.rows import RowReader
    from lib.jobfile.source import JobFile

    limit = 2**30
    begun = time.perf_counter()
    with JobFile(path, limit).opened() as stream:
        count = sum(1 for _ in RowReader(stream, Findings(str(path)), limit).rows())
    return told(begun, count)


WAYS = {"load": load, "rows": rows}


def told(begun: float, jobs: int) -> dict[str, float]:
    """Seconds since `begun`, and the process's highest memory; imports are in the second alone."""
    seconds = time.perf_counter() - begun
    high = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return {"seconds": seconds, "megabytes": int(high.split()[1]) / 1024, "jobs": jobs}


def run(words: list[str]) -> dict[str, float]:
    """A whole program; its memory as the kernel counted it. Raises SystemExit with its code when it fails."""
    begun = time.perf_counter()
    started = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(started.pid, 0)
    seconds = time.perf_counter() - begun
    code = started.returncode = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise SystemExit(f"{' '.join(words)} ended with {code}")
    return {"seconds": seconds, "megabytes": usage.ru_maxrss / 1024, "jobs": 0}


if __name__ == "__main__":
    what, *others = sys.argv[1:]
    print(json.dumps(run(others) if what == "run" else WAYS[what](Path(others[0]))))
