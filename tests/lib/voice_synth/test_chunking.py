"""A text is cut where a reader would breathe, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.voice_synth.chunking import LONGEST_CHUNK_CHARACTERS, chunks_of, sentences_of


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("Dr. Jones met Mrs. Smith at 5 p.m. Sharp.", ["Dr. Jones met Mrs. Smith at 5 p.m. Sharp."]),
        ("It was J. K. Rowling. She smiled.", ["It was J. K. Rowling.", "She smiled."]),
        ("So did I. They left.", ["So did I.", "They left."]),
        ("It cost 3.50 dollars. Cheap.", ["It cost 3.50 dollars.", "Cheap."]),
        ("He said, “Go.” She went.", ["He said, “Go.”", "She went."]),
        ("See example.com for more. Then stop.", ["See example.com for more.", "Then stop."]),
        ("First line\nsecond line\n\nthird", ["First line", "second line", "third"]),
        ("wait... what", ["wait... what"]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("  padded.  ", ["padded."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    """End signs, closing quotes, abbreviations, initials, numbers, addresses and line breaks."""
    assert sentences_of(text) == sentences


def test_a_short_sentence_is_one_chunk() -> None:
    """Commas in a sentence that fits do not cut it."""
    assert chunks_of("Red, green, and blue. Then white.") == ["Red, green, and blue.", "Then white."]


def test_a_long_sentence_is_cut_at_commas() -> None:
    """Parts are as long as fit, each ends at its comma, none is longer than the limit."""
    sentence = ", ".join(["the traveler walked on and on"] * 30) + "."
    chunks = chunks_of(sentence)
    assert len(chunks) > 2
    assert all(len(chunk) <= LONGEST_CHUNK_CHARACTERS for chunk in chunks)
    assert all(chunk.endswith(",") for chunk in chunks[:-1])
    assert all(len(chunk) > LONGEST_CHUNK_CHARACTERS - 40 for chunk in chunks[:-1])


def test_a_long_sentence_without_commas_stays_whole() -> None:
    """A cut inside a clause would be heard, so there is none."""
    sentence = "and on " * 100 + "it went."
    assert chunks_of(sentence) == [sentence]


def test_an_empty_text_has_no_chunks() -> None:
    """White space alone gives nothing to speak."""
    assert chunks_of(" \n\t ") == []


SIGNS = "abcXYZ .,;:!?()\n0.9 I'\"\u2026\u2014\u2019\u201d"


@given(st.text(alphabet=st.sampled_from(SIGNS), max_size=400), st.integers(5, 60))
def test_no_sign_is_lost_or_moved(text: str, longest: int) -> None:
    """The chunks, without white space, are the text without white space; none is blank."""
    chunks = chunks_of(text, longest)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert all(chunk.strip() == chunk and chunk for chunk in chunks)


@given(st.text(max_size=300))
def test_any_text_can_be_cut(text: str) -> None:
    """No text makes it fail, and cutting chunks again changes nothing more."""
    for sentence in sentences_of(text):
        assert sentences_of(sentence)
    assert "".join("".join(chunks_of(text)).split()) == "".join(text.split())
