"""A language is meant by its English name or a code; letters that a language is not written in are found."""

from __future__ import annotations

import pytest

from lib.voice_synth.engines.scripts import scripts_of, unread_words
from lib.voice_synth.languages import WELL_KNOWN, english_name, named_in


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("en", "English"),
        ("EN_us", "English"),
        ("en-GB", "English (Great Britain)"),
        ("fr", "French"),
        ("pt-BR", "Portuguese (Brazil)"),
        (" zh-CN ", "Chinese"),
        ("no", "Norwegian"),
        ("German", "German"),
        ("Klingon", "Klingon"),
        ("xx-YY", "xx-YY"),
    ],
)
def test_codes_have_english_names(asked: str, name: str) -> None:
    """What is no known code stays as it was written."""
    assert english_name(asked) == name


@pytest.mark.parametrize(
    ("asked", "found"),
    [("english", "English"), ("en", "English"), ("FRENCH", "French"), ("fr-be", None), ("de", None), ("", None)],
)
def test_the_engines_own_name_is_found(asked: str, found: str | None) -> None:
    """Whatever the case; a variety is not its language."""
    assert named_in(("English", "French"), asked) == found


def test_well_known_languages_are_no_varieties() -> None:
    """Each once, in order."""
    assert {"English", "French", "Chinese"} <= set(WELL_KNOWN)
    assert list(WELL_KNOWN) == sorted(set(WELL_KNOWN))
    assert not any("(" in name for name in WELL_KNOWN)


@pytest.mark.parametrize(
    ("language", "text", "unread"),
    [
        ("English", "Caf\u00e9, 5 \u00b5m, the angle \u03b1, 1\u00aa", ""),
        ("English", "\u041f\u0440", "\u041f\u0440"),
        ("Russian", "\u041f\u0440\u0438\u0432\u0435\u0442, world", ""),
        ("Russian", "\u041f\u0440\u0438\u0432\u0435\u0442 \u4f60", "\u4f60"),
        ("Greek", "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1", ""),
        ("Chinese (Cantonese)", "\u4f60\u597d", ""),
        ("Japanese", "\u65e5\u672c\u306e\u30ab\u30ca", ""),
        ("Hindi", "\u0928\u092e\u0938\u094d\u0924\u0947", ""),
        ("French", "\u4f60\u597d\u4e16\u754c\u4f60\u597d", "\u4f60\u597d\u4e16\u754c\u4f60\u597d"),
        ("Korean", "\uc548\ub155", ""),
    ],
)
def test_words_of_other_scripts(language: str, text: str, unread: str) -> None:
    """Marks, symbols and Latin words are part of every text."""
    assert unread_words(text, scripts_of(language)) == unread


def test_unread_words_stand_as_in_the_text() -> None:
    """In its order and not as a heap of letters, each once, without the signs around it, and bounded."""
    hello = "\u041f\u0440\u0438\u0432\u0435\u0442"
    text = f"Say \u00ab{hello}\u00bb, then \u4f60\u597d! And {hello} again."
    assert unread_words(text) == f"{hello} \u4f60\u597d"
    many = unread_words(" ".join(f"\u043e\u043d\u0438{chr(0x430 + number)}" for number in range(30)))
    assert len(many) <= 41
    assert many.startswith("\u043e\u043d\u0438\u0430 \u043e\u043d\u0438\u0431 ")
    assert many.endswith("\u2026")
    assert unread_words("\u4f60" * 100_000) == "\u4f60" * 40 + "\u2026"
