"""`python -m docs.generate`: write every generated page; with `--check` only say which are not as they should be."""

from __future__ import annotations

import sys

from docs.generate.pages import HOUSE, outdated, pages


def main() -> int:
    """Write what has changed and name it; 1 when `--check` found something."""
    stale = outdated()
    checking = "--check" in sys.argv[1:]
    for path, text in pages().items():
        if path in stale:
            sys.stdout.write(f"{path} {'is not as the code is; run: make docs' if checking else 'written'}\n")
            if not checking:
                (HOUSE / path).parent.mkdir(parents=True, exist_ok=True)
                (HOUSE / path).write_text(text, encoding="utf-8")
    return int(checking and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
