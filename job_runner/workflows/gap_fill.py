"""Filling the gaps of a corpus: batches of `annotate` for the records that have no annotation of a version yet.

The corpus is read once, in its order, and never held in memory. A batch is named after the records in it, so the same
gaps give the same plan, and a plan that is made again after a run holds only what is left. A record that failed before
is left out unless it is asked for: its reason is known, and the next answer would mostly be the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from job_runner.workflows.entries import FOLDER, Entry, plan_id
from lib.jobqueue.prompts import missing_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from lib.corpus.corpus import Seen

TASK: Final = "annotate"

_SHOWN: Final = 5
_DIGEST_DIGITS: Final = 12


def place_of(version: str) -> Path:
    """Where the plan of a version goes unless it is told otherwise: plans of two stand side by side."""
    return FOLDER / f"gap_fill_{version}.jsonl"


@dataclass(slots=True)
class Found:
    """What a scan has found so far; it is complete when the last entry has been taken."""

    records: int = 0
    annotated: int = 0
    failed_before: int = 0
    unusable: int = 0
    planned: int = 0
    beyond_limit: int = 0
    unusable_first: list[str] = field(default_factory=list)
    """The first records that lack a field of the prompt, with the field."""
    fields: tuple[str, ...] = ()
    """Those that the first of them has."""
    absent: frozenset[str] | None = None
    """The fields of the prompt that no record has, also none that is annotated; None before the first record."""

    @property
    def none_fits(self) -> bool:
        """Whether no record that is to be annotated has what the prompt names."""
        return self.unusable > 0 and self.planned == self.beyond_limit == 0

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "records": self.records,
            "annotated": self.annotated,
            "failed_before": self.failed_before,
            "unusable": self.unusable,
            "unusable_first": self.unusable_first,
            "planned": self.planned,
            "beyond_limit": self.beyond_limit,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GapFill:
    """What to ask about each record of a corpus, and in batches of how many.

    `corpus` is a location as jobs name it. `limit` is the most records to plan, None for all.
    """

    corpus: str
    table: str = ""
    id_field: str = ""
    version: str
    prompt: str
    system: str = ""
    answer_schema: Mapping[str, Any]
    max_output_tokens: int = 1024
    seed: int = 0
    batch: int = 20
    limit: int | None = None
    retry_failed: bool = False

    @property
    def plan(self) -> str:
        """Its name: that of what is asked, not of the records, so that a later plan for the rest is the same one."""
        return plan_id("gap_fill", self._asked())

    def payload(self, records: list[str], again: int = 0) -> dict[str, Any]:
        """The payload of the job of a batch; `again` is how often these records have failed before."""
        return {"records": records, **self._asked(), **({"again": again} if again else {})}

    def entries(self, pages: Iterable[list[Seen]], found: Found) -> Iterator[Entry]:
        """The batches, in the order of the corpus; `found` is counted up on the way."""
        batch: list[Seen] = []
        for page in pages:
            for seen in page:
                if not self._wants(seen, found):
                    continue
                batch.append(seen)
                if len(batch) == self.batch:
                    yield self._entry(batch)
                    batch = []
        if batch:
            yield self._entry(batch)

    def _wants(self, seen: Seen, found: Found) -> bool:
        found.records += 1
        lacks: tuple[str, ...] = ()
        if found.absent != frozenset() or seen.coverage != "annotated":
            lacks = missing_fields(self.prompt, seen.record.fields)
            found.absent = frozenset(lacks) if found.absent is None else found.absent.intersection(lacks)
            found.fields = found.fields or (tuple(seen.record.fields) if lacks else ())
        if seen.coverage == "annotated":
            found.annotated += 1
            return False
        if seen.coverage == "failed" and not self.retry_failed:
            found.failed_before += 1
            return False
        if lacks:
            found.unusable += 1
            if len(found.unusable_first) < _SHOWN:
                found.unusable_first.append(f"{seen.record.id}: no field {lacks[0]!r}")
            return False
        if self.limit is not None and found.planned >= self.limit:
            found.beyond_limit += 1
            return False
        found.planned += 1
        return True

    def _entry(self, batch: list[Seen]) -> Entry:
        records = [seen.record.id for seen in batch]
        again = sum(seen.batches for seen in batch)
        digest = hashlib.sha256(json.dumps([records, again]).encode()).hexdigest()[:_DIGEST_DIGITS]
        between = "" if len(records) == 1 else f" to {records[-1]}"
        return Entry(
            TASK,
            f"{self.version}-{digest}",
            kwargs=self.payload(records, again),
            description=f"{len(records)} of {self.table or self.corpus}: {records[0]}{between}",
        )

    def _asked(self) -> dict[str, Any]:
        """The fields of a payload but the records; what is not said has its default in the job."""
        asked = {
            "corpus": self.corpus,
            "table": self.table,
            "id_field": self.id_field,
            "version": self.version,
            "prompt": self.prompt,
            "system": self.system,
            "answer_schema": self.answer_schema,
            "max_output_tokens": self.max_output_tokens,
            "seed": self.seed,
        }
        return {name: value for name, value in asked.items() if value not in ("", 0)}
