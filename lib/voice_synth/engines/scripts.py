"""Letters that an engine would leave out without a word: those of a script that a language is not written in.

An engine that knows its language's script asks here before it loads; what it cannot read is then an error with the
letters shown, and never a gap in the sound.
"""

from __future__ import annotations

import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LATIN: Final = "LATIN"

# Beginnings of the names that Unicode gives the letters of a script, by the English name of a language.
_WRITTEN_IN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("Bashkir", "Belarusian", "Bulgarian", "Chuvash", "Kazakh", "Kyrgyz", "Macedonian", "Nogai", "Russian"),
            ("CYRILLIC",),
        ),
        **dict.fromkeys(
            ("Bosnian", "Serbian", "Tatar", "Ukrainian"),
            ("CYRILLIC",),
        ),
        **dict.fromkeys(("Arabic", "Persian", "Sindhi", "Urdu", "Uyghur"), ("ARABIC",)),
        **dict.fromkeys(("Hindi", "Konkani", "Marathi", "Nepali", "Sanskrit"), ("DEVANAGARI",)),
        **dict.fromkeys(("Bengali", "Assamese", "Bishnupriya Manipuri"), ("BENGALI",)),
        "Amharic": ("ETHIOPIC",),
        "Armenian": ("ARMENIAN",),
        "Cherokee": ("CHEROKEE",),
        "Chinese": ("CJK", "BOPOMOFO"),
        "Georgian": ("GEORGIAN",),
        "Greek": ("GREEK",),
        "Gujarati": ("GUJARATI",),
        "Hakka Chinese": ("CJK",),
        "Hebrew": ("HEBREW",),
        "Japanese": ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"),
        "Kannada": ("KANNADA",),
        "Korean": ("HANGUL", "CJK"),
        "Malayalam": ("MALAYALAM",),
        "Myanmar": ("MYANMAR",),
        "Oriya": ("ORIYA",),
        "Punjabi": ("GURMUKHI",),
        "Shan": ("MYANMAR",),
        "Sinhala": ("SINHALA",),
        "Tamil": ("TAMIL",),
        "Telugu": ("TELUGU",),
        "Thai": ("THAI",),
    }
)

# Latin text may hold a Greek letter as a symbol; two in a row are a word that would be skipped or garbled.
_ALPHABETS: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "COPTIC", "CHEROKEE")


def scripts_of(language: str) -> tuple[str, ...]:
    """What a language is written in beside Latin letters, which every text may hold; empty for Latin alone."""
    return _WRITTEN_IN.get(language.partition(" (")[0], ())


def unread_letters(text: str, scripts: tuple[str, ...] = ()) -> str:
    """Up to eight letters of the text, in order, that belong neither to `scripts` nor to the Latin one."""
    if text.isascii():  # most are, and a plan asks it of every row
        return ""
    return "".join(sorted(set(_words_of_other_scripts(text, scripts)))[:8])


def _words_of_other_scripts(text: str, scripts: tuple[str, ...]) -> Iterator[str]:
    after_foreign = ""
    for char in text:
        foreign = _foreign(char, scripts)
        if foreign == "whole":
            yield char
        elif foreign and after_foreign:
            yield from (after_foreign, char)
        after_foreign = char if foreign == "letter" else ""


def _foreign(char: str, scripts: tuple[str, ...]) -> str:
    """`whole` for a letter that is a syllable or word by itself, `letter` for one of another alphabet, else empty."""
    if char.isascii() or not char.isalpha():
        return ""
    name = unicodedata.name(char, "")
    if name.startswith((LATIN, *scripts)):
        return ""
    if unicodedata.category(char) == "Lo" and "ORDINAL" not in name:
        return "whole"
    return "letter" if name.startswith(_ALPHABETS) else ""
