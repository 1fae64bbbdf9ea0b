"""The page about rented machines says what a fed worker says: every event, with these fields and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.lib.manifest.folders import compiled, job
from tests.lib.manifest.test_following import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parents[3] / "docs/explanation/rented-machines.md"
LEFT_OUT: Final = frozenset({"hint", "error"})
"""Fields that are not there where there is nothing to say; the page says so."""


def documented() -> dict[tuple[str, str], set[str]]:
    """The fields of each event by its kind and status, beside these two."""
    table = PAGE.read_text().split("| `event` | with | means |")[1].split("\n\n")[0]
    found: dict[tuple[str, str], set[str]] = {}
    for event, fields in re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE):
        status = re.search(r"`status` `(\w+)`", fields)
        named = set(re.findall(r"`(\w+)`", fields))
        found[event, status[1] if status else ""] = named - ({"status", status[1]} if status else set())
    return found


def said(events: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, str], set[str]]]:
    """The same of what was heard."""
    for event in events:
        yield (event["event"], event.get("status", "")), set(event) - {"event", "status"}


def test_every_event_is_on_the_page_with_its_fields(tmp_path: Path) -> None:
    """A worker through all that can happen to it: made, failed, skipped, refused, and an upload that cannot be."""
    compiled(tmp_path / "one", job("a"), job("b", "..."))
    compiled(tmp_path / "two", job("c"))
    line = Line(tmp_path)
    line.following._skip("c")
    line.following._uploads.begin("a", tmp_path, 7)
    with (tmp_path / "orders").open("w+b") as orders:
        orders.write(b"one\ntwo\nthree\n")
        orders.seek(0)
        line.run(orders)
    heard = line.said()
    page, seen = documented(), set()
    for which, fields in said(heard):
        assert fields <= page[which], which
        assert page[which] - fields <= LEFT_OUT, which
        seen.add(which)
    assert seen == set(page)
    (made,) = [each for each in heard if each.get("status") == "ok"]
    assert {name for each in made["files"] for name in each} == {"name", "kind", "bytes", "sha256"}
