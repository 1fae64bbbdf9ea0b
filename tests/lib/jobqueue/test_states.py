"""The states of a job and the arrows between them."""

from __future__ import annotations

import itertools
from typing import get_args

from lib.jobqueue.states import (
    ACTIVE,
    HTTP_NAMES,
    MOVES,
    STATES,
    TERMINAL,
    JobState,
    TerminalState,
    targets,
)


def test_every_state_is_active_or_terminal() -> None:
    """There is no third kind, and no state that the type does not know."""
    assert {*STATES} == ACTIVE | TERMINAL == set(get_args(JobState))
    assert not ACTIVE & TERMINAL
    assert set(get_args(TerminalState)) == TERMINAL


def test_every_move_that_the_contract_names_is_allowed() -> None:
    """Row by row from the contract."""
    assert targets("leased") == {"done", "failed", "cancelled", "delayed", "queued"}
    assert targets("queued") == {"leased", "delayed", "cancelled", "failed"}
    assert targets("delayed") == {"queued", "cancelled", "failed"}
    assert [move.by for move in MOVES if (move.source, move.target) == ("queued", "leased")] == ["start"]


def test_no_other_move_is_allowed() -> None:
    """Above all: nothing waits and is done, and nothing delayed starts without being queued."""
    refused = {
        (source, target)
        for source, target in itertools.product((None, *STATES), STATES)
        if target not in targets(source)
    }
    assert {("queued", "done"), ("delayed", "leased"), ("delayed", "done"), (None, "leased"), (None, "done")} <= refused
    assert {(state, state) for state in STATES} <= refused
    assert {(old, new) for old in TERMINAL for new in (*TERMINAL, "leased")} <= refused


def test_only_a_new_generation_leaves_a_terminal_state() -> None:
    """A record is the last word of its generation."""
    for move in MOVES:
        assert move.new_generation == (move.source is None or move.source in TERMINAL), move


def test_each_arrow_stands_once_and_is_labelled() -> None:
    """The diagram is drawn from this table."""
    arrows = [(move.source, move.target) for move in MOVES]
    assert len(arrows) == len(set(arrows))
    assert all(move.by for move in MOVES)


def test_every_state_can_be_reached_and_every_active_one_can_end() -> None:
    """No job gets stuck by the table."""
    assert {move.target for move in MOVES} == set(STATES)
    for state in ACTIVE:
        assert targets(state) & TERMINAL, state


def test_http_clients_see_five_words() -> None:
    """Those of the contract."""
    assert set(HTTP_NAMES) == set(STATES)
    assert set(HTTP_NAMES.values()) == {"pending", "processing", "completed", "failed", "cancelled"}
