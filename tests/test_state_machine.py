"""The page of states, read as a person reads it, against the table in the code."""

from __future__ import annotations

import re
from pathlib import Path

from lib.jobqueue.states import MOVES, STATES, TERMINAL, targets

PAGE = (Path(__file__).parents[1] / "docs/explanation/state-machine.md").read_text(encoding="utf-8")
DIAGRAM = PAGE.partition("```mermaid\n")[2].partition("```")[0]
ARROW = re.compile(r"^    (\S+) --> (\S+?): (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| (?:\(new\)|`(\w+)`) \| `(\w+)` \| (.+?) \| (yes|) \|$", re.MULTILINE)


def test_the_diagram_has_every_arrow_and_no_other() -> None:
    """Each with the label of the table; what begins a new generation says so."""
    drawn = {(a, b): label for a, b, label in ARROW.findall(DIAGRAM) if b != "[*]"}
    meant = {
        (move.source or "[*]", move.target): move.by
        + (" (next generation)" if move.new_generation and move.source else "")
        for move in MOVES
    }
    assert drawn == meant


def test_the_diagram_has_no_other_lines() -> None:
    """Nothing is hidden between the arrows, and only what is over leaves the picture."""
    lines = DIAGRAM.splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    direction LR"]
    assert all(ARROW.fullmatch(line) for line in lines[2:])
    assert {a for a, b, _ in ARROW.findall(DIAGRAM) if b == "[*]"} == TERMINAL


def test_the_table_says_the_same() -> None:
    """For whoever reads it where no diagram is drawn."""
    rows = [(a or None, b, by, bool(again)) for a, b, by, again in ROW.findall(PAGE)]
    assert rows == [(move.source, move.target, move.by, move.new_generation) for move in MOVES]


def test_every_state_is_explained() -> None:
    """Where it is kept, one row each."""
    kept = PAGE.partition("## Where a state is kept")[2].partition("<!-- end")[0]
    assert re.findall(r"^\| `(\w+)` \|", kept, re.MULTILINE) == list(STATES)


def test_labels_break_no_line_of_the_diagram() -> None:
    """A colon or a semicolon would end a label early where the diagram is drawn."""
    assert [move.by for move in MOVES if re.search(r"[:;\n]", move.by)] == []


def test_a_person_can_follow_a_job_to_its_end() -> None:
    """From every state that is active, an end can be reached along the drawn arrows."""
    for state in STATES:
        reached, seen = {state}, set[str]()
        while reached - seen:
            seen |= reached
            reached = reached | {target for each in reached if each not in TERMINAL for target in targets(each)}
        assert reached & TERMINAL, state
