"""Corpora for tests, one of each kind with the same records, and readers of what was written beside them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lib.corpus.opening import open_corpus
from lib.corpus.places import CorpusPlaces

if TYPE_CHECKING:
    from pathlib import Path

    from lib.corpus.corpus import Corpus

Kind = Literal["jsonl", "sqlite"]
KINDS: tuple[Kind, ...] = ("jsonl", "sqlite")


@dataclass(frozen=True)
class Made:
    """A corpus on the disk, and what a job says to mean it."""

    places: CorpusPlaces
    location: str
    table: str
    store: Path
    """The SQLite file that has the annotations."""
    prefix: str

    def opened(self) -> Corpus:
        """The corpus, as a job opens it."""
        return open_corpus(self.places, self.location, table=self.table)

    def payload(self, records: list[str], **more: Any) -> dict[str, Any]:
        """The payload of a job that annotates these records."""
        named = {"corpus": self.location, **({"table": self.table} if self.table else {})}
        return {"records": records, "version": "v1", "prompt": "Count: {text}", **named, **more}

    def rows(self, table: str = "annotations") -> list[dict[str, Any]]:
        """All rows of a table of annotations, read from outside; none while it is not made."""
        with closing(sqlite3.connect(self.store)) as database:
            database.row_factory = sqlite3.Row
            try:
                found = database.execute(f"SELECT * FROM {self.prefix}{table} ORDER BY record_id, version")  # noqa: S608 - ours
            except sqlite3.OperationalError as exc:
                assert "no such table" in str(exc)  # noqa: PT017 - it is the answer, not what is tested
                return []
            return [dict(row) for row in found]

    def annotated(self) -> dict[str, Any]:
        """What everybody sees: record to annotation."""
        return {row["record_id"]: json.loads(row["annotation"]) for row in self.rows()}


def make(kind: Kind, root: Path, count: int = 6) -> Made:
    """A corpus of this kind below `root`: records r0, r1 and so on with a text of one word more each."""
    root.mkdir(exist_ok=True)
    records = [(f"r{i}", " ".join(["word"] * (i + 1))) for i in range(count)]
    places = CorpusPlaces(root, "")
    if kind == "jsonl":
        path = root / "words.jsonl"
        path.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in records))
        return Made(places, "words.jsonl", "", root / "words.jsonl.annotations.sqlite3", "")
    path = root / "words.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE words (name TEXT PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO words VALUES (?, ?)", records)
        database.commit()
    return Made(places, "sqlite:///words.sqlite3", "words", path, "words_")
