"""The trace by which peers are judged: what ran, when, and how often, whichever process it ran in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.peers.roster import OWN, PEERS
from bench.peers.side import Trace

if TYPE_CHECKING:
    from bench.peers.roster import Peer

HOUSE = Path(__file__).parents[2]


def test_a_body_is_seen_to_begin_and_to_end(tmp_path: Path) -> None:
    """One that was killed has begun once more than it has ended."""
    trace = Trace.made(tmp_path / "trace", 3)
    trace.began(0)
    trace.ended(0)
    trace.began(2)
    begins_and_ends = [row[2:] for row in trace.rows()]
    assert begins_and_ends == [(1, 1), (0, 0), (1, 0)]
    assert 0 < trace.row(0)[0] <= trace.row(0)[1] <= trace.row(2)[0]
    assert len(trace) == 3


def test_a_job_that_ran_twice_counts_twice(tmp_path: Path) -> None:
    """The first run is not forgotten."""
    trace = Trace.made(tmp_path / "trace", 1)
    for _ in range(2):
        trace.began(0)
        trace.ended(0)
    assert trace.row(0)[2:] == (2, 2)


def test_other_processes_write_into_the_same_trace(tmp_path: Path) -> None:
    """A peer's workers are not ours, and are killed."""
    path = tmp_path / "trace"
    trace = Trace.made(path, 2)
    code = "import sys; from pathlib import Path; from bench.peers.side import Trace; Trace(Path(sys.argv[1])).began(1)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=HOUSE)
    assert [row[2] for row in trace.rows()] == [0, 1]


@pytest.mark.parametrize("peer", [OWN, *PEERS], ids=lambda peer: peer.name)
def test_every_peer_is_pinned_and_has_a_side(peer: Peer) -> None:
    """The same versions on every machine, and a module that drives it; ours needs no pins."""
    assert (HOUSE / Path(*peer.side.split("."))).with_suffix(".py").is_file()
    assert all("==" in pin for pin in peer.pins)
    assert bool(peer.pins) is (peer is not OWN)
    assert peer.setting
    assert peer.kill_setting
