"""The page about rented machines, read as a person reads it, against the code."""

from __future__ import annotations

import re
from pathlib import Path

from lib.market.deciding import Capacity, Demand, Limits, Waiting, decide
from lib.market.ending import ALARM_EVERY, APART_SECONDS, EXCLUDED_SECONDS, IN_FLIGHT_SECONDS
from lib.market.figures import Figures, learn
from lib.market.instance import STATES
from lib.market.life import MOVES, LifeLimits, worst_cost
from lib.market.playing import Hand, Work, play
from lib.market.reaping import GRACE_SECONDS
from lib.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs/explanation/rented-machines.md").read_text(encoding="utf-8")
LIFE = PAGE.partition("## The life of one\n")[2].partition("\n## ")[0]
WORDS = " ".join(PAGE.split())
DIAGRAM = PAGE.partition("```mermaid\n")[2].partition("```")[0]
ARROW = re.compile(r"^    (\S+) --> (\S+?): (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| .+? \| (.*?) ?\|$", re.MULTILINE)


def test_the_diagram_has_every_arrow_and_no_other() -> None:
    """Each with its label, in the order of the table; only what is gone leaves the picture."""
    drawn = ARROW.findall(DIAGRAM)
    assert drawn[:-1] == [(move.source or "[*]", move.target, move.by) for move in MOVES]
    assert drawn[-1][:2] == ("gone", "[*]")


def test_the_diagram_has_no_other_lines() -> None:
    """Nothing is hidden between the arrows; no label has what would end it early."""
    lines = DIAGRAM.splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    direction LR"]
    assert all(ARROW.fullmatch(line) for line in lines[2:])
    assert [move.by for move in MOVES if re.search(r"[:;\n]", move.by)] == []


def test_every_state_is_explained_with_its_deadline() -> None:
    """One row each, in the order of a life."""
    limits = LifeLimits()
    told = dict(ROW.findall(LIFE))
    assert tuple(told) == STATES
    for state in STATES[: STATES.index("draining")]:
        assert told[state] == f"{limits.seconds(state):.0f} s"


def test_the_settings_are_what_the_page_says() -> None:
    """The defaults of the house."""
    settings = Settings.load({})
    assert f"`VAST_DEAD_MAN` ({settings.vast_dead_man:.0f} s)" in PAGE
    assert LifeLimits().idle == settings.watcher_idle_grace
    assert LifeLimits().max_runtime == settings.watcher_max_runtime
    for machines, dph, said in re.findall(r"^\| (\d) \| \$([0-9.]+)[^|]* \| (.+?) \|$", PAGE, re.MULTILINE):
        cost = int(machines) * worst_cost(round(float(dph) * 1e6), settings.vast_dead_man) / 1e6
        assert said == (f"{cost * 100:.0f} cents" if cost < 1 else f"${cost:.2f}")


def test_the_figures_in_the_text_are_those_of_the_code() -> None:
    """Seconds and counts that are written out."""
    assert "two minutes after the create" in WORDS
    assert "older than two minutes" in WORDS
    assert IN_FLIGHT_SECONDS == GRACE_SECONDS == 120
    assert f"at least {APART_SECONDS:.0f} s apart" in WORDS
    assert (ALARM_EVERY, "At every fifth request" in WORDS) == (5, True)
    assert (EXCLUDED_SECONDS, "not rented again for an hour" in WORDS) == (3600, True)
    assert f"a start is taken to last {learn([]).startup:.0f} s" in WORDS


def test_the_example_is_reckoned_right() -> None:
    """33 jobs are too few, 34 are enough."""
    figures = Figures(120.0, 120.0, 360_000)
    limits = Limits(1, budget_left=10_000_000)
    waiting = [Demand(0.0, (Waiting(jobs, 1.0, metal=10.0),), metal=Capacity(1)) for jobs in (33, 34)]
    assert [decide(each, (), limits, figures).rent for each in waiting] == [0, 1]
    work = Work(33, {"metal": 10.0, "rented": 1.0})
    assert f"{play([work], [Hand('metal'), Hand('rented', since=120.0)]).end:.0f} s instead of 330 s" in WORDS


def test_a_life_can_be_followed_to_its_end() -> None:
    """From every state along the drawn arrows; and by way of `destroying` from each but the first refusal."""
    after = {state: {move.target for move in MOVES if move.source == state} for state in STATES}
    for state in STATES[:-2]:
        assert "destroying" in after[state]
    assert after["destroying"] == {"gone"}
    assert after["gone"] == set()
