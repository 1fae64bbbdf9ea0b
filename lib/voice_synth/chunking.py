"""A long text cut where a reader would breathe: at sentences, and at commas inside long ones.

Each chunk is spoken by itself and 300 ms of silence are put between. No word and no sign is lost or changed; a
sentence without commas stays whole however long it is, because a cut inside a clause is heard.
"""

from __future__ import annotations

import re
from typing import Final

CHUNK_SILENCE_SECONDS: Final = 0.3
# About twenty seconds of speech: longer ones make sampling engines drift.
LONGEST_CHUNK_CHARACTERS: Final = 280

_OPENING: Final = "\"'\u2018\u201c(["
_CLOSING: Final = "\"'\u2019\u201d)\\]"
# An end sign, closing quotes, white space, and then no lower-case word; or a line break.
_SENTENCE_END: Final = re.compile(rf"(?<=[.!?\u2026])[{_CLOSING}]*\s+(?=[{re.escape(_OPENING)}]*[^\Wa-z_])|\s*\n\s*")
_COMMA: Final = re.compile(r"(?<=[,;:\u2014])\s+")
# Words after which a period does not end a sentence, without the period.
_ABBREVIATIONS: Final = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "gen", "col", "capt", "lt", "sgt", "rev", "hon", "vs"}
    | {"vol", "fig", "approx", "e.g", "i.e", "a.m", "p.m", "u.s", "u.k"}
)


def sentences_of(text: str) -> list[str]:
    """The sentences, in order, without the white space between them."""
    found: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if "\n" not in match.group() and _is_abbreviation(text[start : match.start()]):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def chunks_of(text: str, longest: int = LONGEST_CHUNK_CHARACTERS) -> list[str]:
    """Sentences, those of more than `longest` characters cut at commas into parts as long as fit."""
    chunks: list[str] = []
    for sentence in sentences_of(text):
        if len(sentence) <= longest:
            chunks.append(sentence)
            continue
        part = ""
        for clause in _COMMA.split(sentence):
            if part and len(part) + 1 + len(clause) > longest:
                chunks.append(part)
                part = clause
            else:
                part = f"{part} {clause}" if part else clause
        chunks.append(part)
    return chunks


def _is_abbreviation(before: str) -> bool:
    words = before.removesuffix(".").split()
    if not words or not before.endswith("."):
        return False
    word = words[-1].lstrip(_OPENING)
    # One capital is an initial, but `I` may end a sentence.
    return word.casefold() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")
