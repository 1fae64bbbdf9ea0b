"""What an engine is handed as one word is bounded, and ordinary words are handed over as they were written."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.voice_synth.engines.long_words import (
    MOST_LETTERS,
    MOST_PARTS,
    PIECE_PARTS,
    cut_letters,
    cut_numbers,
    cut_parts,
    parts_of,
)

ORDINARY = [
    "The quick brown fox, at 7:30 p.m., paid $1,250.75 for a mother-in-law's state-of-the-art U.S.-made iPhone.",
    "From 2026-11-22T09:11:22.123456+00:00 to 22/11/2026; call +49 (0)30 1234-5678-90.",
    "See https://www.example.com/docs/how-to/index.html?page=1&sort=name#top or mail a.b+c@mail.example.org.",
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
    "Pi is 3.14159265358979323846264338327950288419716939937510, a googol has 1,000,000,000,000,000,000,000 and more.",
    "192.168.100.200, 2001:0db8:85a3:0000:0000:8a2e:0370:7334, 1.2.3-rc.4+build.5, don't, rock'n'roll, and/or",
    "\n\n  two\tblanks  stay \n",
    "",
]


@pytest.mark.parametrize("text", ORDINARY, ids=lambda text: text[:20])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Prose, dates, prices, addresses, abbreviations, one long German word: not a character changes."""
    assert cut_parts(cut_numbers(cut_letters(text))) == text


def outsized() -> list[str]:
    """Words of many parts: addresses, hyphens, codes, marks, nothing that separates."""
    draw = random.Random(1)  # noqa: S311 - words that repeat themselves, no secret
    letters = string.ascii_letters + string.digits + "-_%&="
    return [
        "https://example.com/" + "a/" * 300,
        "a-" * 5000,
        "-".join(["word"] * 200),
        "https://example.com/?q=" + "".join(draw.choice(letters) for _ in range(2000)),
        "aA" * 500,
        "a1" * 500,
        "1," * 1000,
        "=" * 1000,
        "e" + "\u0301" * 5000,
    ]


@pytest.mark.parametrize("text", outsized(), ids=lambda text: text[:24])
def test_no_word_has_many_parts(text: str) -> None:
    """Nothing is lost but that spaces come in, and each word is one that rules can look at."""
    cut = cut_parts(text)
    assert cut.replace(" ", "") == text
    assert max(map(parts_of, cut.split())) <= PIECE_PARTS
    assert len(cut.split()) <= 3 * parts_of(text) / PIECE_PARTS + 1


def test_a_word_is_cut_behind_its_separators() -> None:
    """Where a reader would pause, never within `://`; without separators wherever it must."""
    words = cut_parts("https://example.com/" + "news/of-today/" * 20).split()
    assert words[0].startswith("https://example.com/news/")
    assert {word[-1] for word in words} <= {"/", "-"}
    assert cut_parts("aB" * MOST_PARTS).split()


@given(st.text(max_size=300))
def test_any_text_keeps_its_characters(text: str) -> None:
    """Only spaces come in, and a second look changes nothing."""
    for cut in (cut_parts, cut_letters, cut_numbers):
        once = cut(text)
        assert once.replace(" ", "") == text.replace(" ", "")
        assert cut(once) == once


def test_letters_without_end_become_words() -> None:
    """A hundred letters are one word; more are cut, and all of them stay."""
    assert cut_letters("a" * MOST_LETTERS) == "a" * MOST_LETTERS
    cut = cut_letters("x " + "a" * 20_000 + ".")
    assert max(map(len, cut.split())) <= MOST_LETTERS
    assert cut.count("a") == 20_000


def test_a_number_without_a_name_is_read_digit_by_digit() -> None:
    """Up to 36 digits it is one number; a fraction stays one unless it is without end."""
    for named in ("1" * 36, "999" + ",999" * 10):
        assert cut_numbers(named) == named
    assert cut_numbers("9" * 40) == " ".join("9" * 40)
    assert cut_numbers("1,000" + ",000" * 20).startswith("1, 0 0 0, 0 0 0,")
    assert cut_numbers("0." + "3" * 100) == "0." + "3" * 100
    assert set(cut_numbers("0." + "3" * 5000).split()) == {"0.3", "3"}
