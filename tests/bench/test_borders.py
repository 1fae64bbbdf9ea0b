"""Who may import whom: the bench stands beside the tests, and the peers' side on nothing but the standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from bench.peers.roster import OWN, PEERS

HOUSE = Path(__file__).parents[2]


def imported_by(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def imports_of(path: Path, package: str) -> bool:
    """Whether it imports anything of a package."""
    named = package in path.read_text()  # to parse hundreds of files would take seconds
    return named and any(name.partition(".")[0] == package for name in imported_by(path))


def test_the_bench_needs_no_tests_and_no_trial_needs_the_bench() -> None:
    """Only the bench's own tests import it: two that import each other are one."""
    backwards = [str(path) for path in (HOUSE / "bench").rglob("*.py") if imports_of(path, "tests")]
    assert backwards == []
    others = [path for path in (HOUSE / "tests").rglob("*.py") if path.parent != HOUSE / "tests/bench"]
    assert [str(path) for path in others if imports_of(path, "bench")] == []


def test_every_side_carries_the_same_ballast() -> None:
    """It comes from one place, which a peer's own Python can import."""
    for peer in (OWN, *PEERS):
        source = (HOUSE / Path(*peer.side.split("."))).with_suffix(".py")
        assert "bench.ballast" in imported_by(source), peer.name
    for path in (HOUSE / "bench/ballast.py", HOUSE / "bench/peers/side.py"):
        strange = {name.partition(".")[0] for name in imported_by(path)} - sys.stdlib_module_names
        assert strange == set()
