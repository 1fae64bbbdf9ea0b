"""Letters that an engine would leave out without a word: those of a script that a language is not written in.

An engine that knows its language's script asks here before it loads; what it cannot read is then an error with the
words shown, and never a gap in the sound.
"""

from __future__ import annotations

import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_SHOWN_CHARACTERS: Final = 40


def scripts_of(language: str) -> tuple[str, ...]:
    """What a language is written in beside Latin letters, which every text may hold; empty for Latin alone."""
    return _WRITTEN_IN.get(language.partition(" (")[0], ())


def unread_words(text: str, scripts: tuple[str, ...] = ()) -> str:
    """The first words of the text, as they stand there, whose letters belong neither to `scripts` nor to Latin.

    Each once, and no more than a message can hold; empty when every letter is read.
    """
    if text.isascii():  # most are, and a plan asks it of every row
        return ""
    found: dict[str, None] = {}
    length = 0
    for word in text.split():
        if not word.isascii() and _holds_other_scripts(word, scripts):
            bare = _bare(word)
            length += 0 if bare in found else len(bare) + 1
            found[bare] = None
            if length > _SHOWN_CHARACTERS:
                return " ".join(found)[:_SHOWN_CHARACTERS].rstrip() + "…"
    return " ".join(found)


def _bare(word: str) -> str:
    """The word without quotes, brackets and full stops around it, whatever script they are of."""
    inner = [at for at, char in enumerate(word) if not unicodedata.category(char).startswith("P")]
    return word[inner[0] : inner[-1] + 1]


def _holds_other_scripts(word: str, scripts: tuple[str, ...]) -> bool:
    after_foreign = False
    for char in word:
        foreign = _foreign(char, scripts)
        if foreign == "whole" or (foreign and after_foreign):
            return True
        after_foreign = foreign == "letter"
    return False


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
