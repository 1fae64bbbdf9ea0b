"""The last few models stay; the one that was not used for longest goes before another comes."""

from __future__ import annotations

import pytest

from lib.voice_synth.engines.kept import Kept


def test_the_last_few_stay() -> None:
    """What is used stays, whatever was made first."""
    made: list[str] = []
    kept: Kept[str] = Kept(2)

    def get(key: str) -> str:
        def make() -> str:
            made.append(key)
            return key.upper()

        return kept.get(key, make)

    assert [get(key) for key in "abacab"] == list("ABACAB")
    assert made == ["a", "b", "c", "b"]
    assert len(kept) == 2


def test_room_is_made_before() -> None:
    """Two models never stand in memory where one has room."""
    kept: Kept[int] = Kept(1)
    assert [kept.get(key, lambda: len(kept)) for key in range(3)] == [0, 0, 0]


def test_what_could_not_be_made_is_not_kept() -> None:
    """The next who asks tries again."""
    kept: Kept[int] = Kept(1)

    def fail() -> int:
        raise MemoryError

    with pytest.raises(MemoryError):
        kept.get("a", fail)
    assert kept.get("a", lambda: 7) == 7
