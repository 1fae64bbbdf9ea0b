"""Which parts are measured, and where the report goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.__main__ import (
    DOCUMENTS,
    LATEST,
    MEASURES,
    NOT_QUICK,
    chosen,
    lacking,
    parser,
    parts,
    place,
    place_after,
)
from bench.conditions import busy
from bench.figure import Found
from bench.growth import Level, figures, short
from bench.report import BUSY
from bench.sizes import FULL, QUICK
from bench.stand import HOUSE


def test_everything_is_measured_unless_told_otherwise() -> None:
    """A quick run leaves out what takes minutes, unless that is named."""
    assert parts("", quick=False) == list(MEASURES)
    assert set(MEASURES) - set(parts("", quick=True)) == set(NOT_QUICK)
    assert parts("killed, drain", quick=True) == ["killed", "drain"]


def test_an_unknown_part_is_refused_with_those_that_there_are() -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=r"--only: sumbit is not known; allowed: submit, "):
        parts("sumbit,drain", quick=False)
    with pytest.raises(ValueError, match="--peers: rabbit is not known"):
        chosen("rabbit", "--peers", ["rq"])


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    """Half an hour is not measured in vain: exit code 2, the folder and what to do."""
    (tmp_path / "file").touch()
    inside = str(tmp_path / "file" / "report")
    words = [sys.executable, "-m", "bench", "--quick", "--only", "submit", "--into", inside]
    ended = subprocess.run(words, cwd=HOUSE, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"cannot write into {inside}: Not a directory; give another folder with --into" in " ".join(
        ended.stderr.split()
    )
    assert "measuring" not in ended.stderr


def test_only_a_complete_run_goes_into_the_documents() -> None:
    """A quick one would put noise in the place of the last real report."""
    assert lacking(list(MEASURES), [], quick=False) == ""
    assert place(None, "") == DOCUMENTS
    assert place(None, "it is a quick one") == LATEST


@pytest.mark.parametrize(
    ("names", "peers", "quick", "why"),
    [
        ([name for name in MEASURES if name != "drain"], [], False, "it leaves out drain"),
        (list(MEASURES), ["rq"], False, "it measures only some of the other queues"),
        (list(MEASURES), [], True, "it is a quick one"),
    ],
)
@pytest.mark.parametrize("given", [DOCUMENTS, Path("docs/benchmarks"), Path("bench/../docs/benchmarks/older")])
def test_no_wish_puts_less_than_all_into_the_documents(
    names: list[str],
    peers: list[str],
    quick: bool,  # noqa: FBT001 - as the command line has it
    why: str,
    given: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the folder is written, and the message says what is missing; any other folder is free."""
    monkeypatch.chdir(HOUSE)
    lack = lacking(names, peers, quick=quick)
    with pytest.raises(ValueError, match=rf"--into \S+: docs/benchmarks keeps complete runs alone.*: {why}; give"):
        place(given, lack)
    assert place(Path("elsewhere"), lack) == Path("elsewhere")
    assert place(given, "") == given


def test_a_wish_that_cannot_be_granted_is_told_before_anything_is_measured() -> None:
    """As a wrong command line: at once, with 2."""
    words = ("-m", "bench", "--quick", "--only", "drain", "--into", "docs/benchmarks")
    done = subprocess.run([sys.executable, *words], cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("python -m bench: error: --into docs/benchmarks: ")


def test_a_run_of_which_a_part_came_to_nothing_is_not_kept() -> None:
    """A complete one was begun, and is none; a single peer that failed is told in the report."""
    console = Console(quiet=True)
    assert place_after(DOCUMENTS, Found(failures={"drain": "not over after 450 s"}), console) == LATEST
    assert place_after(DOCUMENTS, Found(failures={"peers: arq": "no such version"}), console) == DOCUMENTS
    assert place_after(Path("elsewhere"), Found(failures={"drain": "no"}), console) == Path("elsewhere")


def test_a_machine_with_other_work_is_marked() -> None:
    """Half a core of two; nothing is said of a quiet one."""
    assert busy(0.5, 2) == {}
    assert busy(1.57, 2) == {BUSY: "load 1.57, quiet is up to 0.50 on 2 cores"}
    assert busy(1.57, 8) == {}


def test_a_run_is_bounded() -> None:
    """Under half an hour in full, three minutes when quick, and each part has an end of its own."""
    full = sum(measure.seconds(quick=False) for measure in MEASURES.values())
    quick = sum(MEASURES[name].seconds(quick=True) for name in parts("", quick=True))
    assert full <= 28 * 60
    assert quick <= 3 * 60
    assert all(measure.deadline(quick=True) >= measure.seconds(quick=True) for measure in MEASURES.values())


def test_the_help_names_the_parts() -> None:
    """So that nobody has to guess."""
    text = parser().format_help()
    assert all(name in text for name in ("submit", "growth", "killed", "--quick", "--json"))


def test_a_quick_run_does_less_of_the_same() -> None:
    """No count of it is higher, and its growth has something to be held against."""
    assert QUICK.jobs < FULL.jobs
    assert QUICK.repeats >= 2
    assert 10_000 in QUICK.waiting
    assert FULL.waiting[-1] == 1_000_000


def level(size: int, *ours: float, beside: float = 100.0) -> Level:
    """One with the same figures for everything."""
    made = Level(size, "waiting")
    for what in ("submit", "drain", "status", "history", "report"):
        for each in ours:
            made.note(what, each, beside)
    return made


def test_growth_is_judged_by_ratios_to_raw_at_both_ends() -> None:
    """A machine that has become slower slows raw too, and is no growth; a queue that has is."""
    slower_machine = figures([level(10_000, 50), level(1_000_000, 25, beside=50.0)])
    assert {each.met for each in slower_machine} == {None, True}
    slower_queue = {each.what: each.met for each in figures([level(10_000, 50), level(1_000_000, 40)])}
    assert slower_queue["drain, 1M waiting by 10k"] is False
    assert slower_queue["status, 1M waiting by 10k"] is True, "fewer milliseconds than before are no growth"


def test_growth_is_judged_by_medians_since_no_run_has_a_partner() -> None:
    """The i-th run with many jobs has nothing to do with the i-th with few; the spread is the widest there can be."""
    few, many = level(10_000, 50, 55, 45, 60, 40), level(1_000_000, 20, 52, 48, 49, 30)
    [verdict] = [each for each in figures([few, many]) if each.what == "drain, 1M waiting by 10k"]
    assert verdict.ratio is not None
    assert verdict.ratio.median == pytest.approx(48 / 50)
    assert verdict.ratio.low == pytest.approx(20 / 60)
    assert verdict.ratio.high == pytest.approx(52 / 40)
    assert verdict.met is True


def test_growth_of_the_views_is_in_milliseconds() -> None:
    """There more is worse."""
    told = {each.what: each.met for each in figures([level(10_000, 50), level(1_000_000, 60)])}
    assert told["report, 1M waiting by 10k"] is False
    assert told["submit, 1M waiting by 10k"] is True


def test_sizes_are_short() -> None:
    """As people say them."""
    assert [short(size) for size in (1_000, 10_000, 100_000, 1_000_000)] == ["1k", "10k", "100k", "1M"]
