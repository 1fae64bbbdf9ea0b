"""The soak's command line.

    python -m tests.soak [--minutes 30] [--rate 20] [--json]

Exit code 0: flat; 1: something grows, or is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Plan, soak


def main() -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=20, help="jobs a second")
    parser.add_argument("--json", action="store_true", help="one document with every sample")
    parser.add_argument("--verbose", action="store_true", help="each sample to stderr when it is taken")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = asyncio.run(soak(Plan(options.minutes, options.rate), Path(folder), say=options.verbose))
    sys.stdout.write((json.dumps(report.document(), indent=2) if options.json else report.text()) + "\n")
    return 1 if report.problems() else 0


if __name__ == "__main__":
    # Ended from outside, it must not leave its watchers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
