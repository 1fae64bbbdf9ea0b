"""The store of annotations against a model of it in a dictionary: any order of keeping, publishing and failing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lib.corpus.answers import Answer, Asker, Failure
from tests.lib.corpus.corpora import make

IDS = [f"r{number}" for number in range(4)]
ASKERS = [Asker(f"job-{number}", "2026-01-01T00:00:00Z") for number in range(2)]

records = st.sampled_from(IDS)
batches = st.lists(records, unique=True, max_size=4)
askers = st.sampled_from(ASKERS)
questions = st.sampled_from(["q", "p"])
values = st.one_of(st.integers(0, 9), st.text(max_size=3), st.lists(st.none(), max_size=2))
NO = Failure("blocked", "no")


class Store(RuleBasedStateMachine):
    """What is seen, kept and noted, beside what should be."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="store-"))
        self.corpus = make("jsonl", self.place / "corpora", count=4).opened()
        self.store = self.corpus.annotations
        self.seen: dict[str, tuple[Any, Asker]] = {}
        self.kept: dict[str, tuple[str, Any]] = {}
        self.noted: dict[str, tuple[int, Asker]] = {}

    @rule(record=records, question=questions, value=values, asker=askers)
    def keep(self, record: str, question: str, value: Any, asker: Asker) -> None:
        """An answer: the first to a question stands."""
        self.store.keep(Answer(record, question, value), "v", asker)
        before = self.kept.get(record)
        if before is None or before[0] != question or isinstance(before[1], Failure):
            self.kept[record] = (question, value)

    @rule(record=records, question=questions, asker=askers)
    def refuse(self, record: str, question: str, asker: Asker) -> None:
        """A refusal never takes the place of an answer to the same question."""
        self.store.keep(Answer(record, question, NO), "v", asker)
        before = self.kept.get(record)
        if before is None or before[0] != question or isinstance(before[1], Failure):
            self.kept[record] = (question, NO)

    @rule(answered=batches, failing=batches, question=questions, asker=askers)
    def publish(self, answered: list[str], failing: list[str], question: str, asker: Asker) -> None:
        """A batch: what it says became of it is what became of it."""
        failures = {name: NO for name in failing if name not in answered}
        done = self.store.publish(dict.fromkeys(answered, question), failures, "v", asker, "at")
        for name in answered:
            kept = self.kept.get(name)
            if kept is not None and kept[0] == question and not isinstance(kept[1], Failure):
                self.seen.setdefault(name, (kept[1], asker))
        for name in {*answered, *failures}:
            if name in self.seen:
                self.kept.pop(name, None)
                self.noted.pop(name, None)
            elif name in self.kept and isinstance(self.kept[name][1], Failure):
                del self.kept[name]
        for name in failures:
            if name not in self.seen:
                count, by = self.noted.get(name, (0, None))
                self.noted[name] = (count + (by != asker), asker)
        batch = {*answered, *failures}
        mine = {name for name in batch if name in self.seen and self.seen[name][1] == asker}
        assert done.annotated == mine
        assert done.by_others == {name for name in batch if name in self.seen} - mine
        assert done.failed == {name for name in failures if name not in self.seen}
        assert done.gone == {name for name in answered if name not in self.seen}

    @invariant()
    def what_is_seen_is_what_was_published(self) -> None:
        """And never changes."""
        assert {row.record_id: (row.annotation, row.job) for row in self.store.rows("v")} == {
            name: (value, asker.job) for name, (value, asker) in self.seen.items()
        }

    @invariant()
    def what_is_known_is_all_there_is(self) -> None:
        """Of each record the strongest: seen, else kept, else noted."""
        known = self.store.known(IDS, "v", ASKERS[0])
        states = dict.fromkeys(self.noted, "failed")
        states |= dict.fromkeys(self.kept, "kept")
        states |= dict.fromkeys(self.seen, "annotated")
        assert {name: each.state for name, each in known.items()} == states
        assert self.store.failures(IDS, "v") == (
            frozenset(self.seen),
            {name: count for name, (count, _) in self.noted.items() if name not in self.seen},
        )

    def teardown(self) -> None:
        """Leave nothing."""
        self.corpus.close()
        shutil.rmtree(self.place)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
