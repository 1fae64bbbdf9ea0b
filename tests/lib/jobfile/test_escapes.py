r"""What JSON writes as two escapes is one character, however the bytes come, and nothing else changes."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import Problem
from lib.jobfile import FileRules, read_jobs, scan_jobs
from lib.jobfile.escapes import JoinedEscapes
from tests.lib.jobfile.written import written

if TYPE_CHECKING:
    from pathlib import Path


class Dribble(io.BytesIO):
    """Gives at most a few bytes a read, whatever is asked for."""

    def __init__(self, content: bytes, most: int) -> None:
        super().__init__(content)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        """At most so many."""
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


def joined(content: bytes, most: int = 1 << 14) -> bytes:
    """All that comes out."""
    reader = JoinedEscapes(Dribble(content, most))
    parts = []
    while part := reader.read(1 << 14):
        parts.append(part)
    return b"".join(parts)


CASES = {
    r'["\ud83d\ude00"]': '["😀"]',
    r'{"a": "x\uD83D\uDE00y\ud83d\ude00"}': '{"a": "x😀y😀"}',
    r'["\\ud83d\\ude00"]': r'["\\ud83d\\ude00"]',
    r'["\\\ud83d\ude00"]': r'["\\😀"]',
    r'["\ud83d"]': r'["\ud83d"]',
    r'["\ude00\ud83d"]': r'["\ude00\ud83d"]',
    r'["\ud83d\ud83d\ude00"]': r'["\ud83d😀"]',
    r'["\u00e9\n\"\ud83d\ude00\""]': r'["\u00e9\n\"😀\""]',
    r'["\uD834\uDD1E \uDBFF\uDFFF"]': '["𝄞 \U0010ffff"]',
    "- text: '\\ud83d\\ude00'\n": "- text: '\\ud83d\\ude00'\n",
    "{a: '\\ud83d\\ude00'}": "{a: '\\ud83d\\ude00'}",
    "[]": "[]",
    "": "",
    '["ends in a backslash \\': '["ends in a backslash \\',
    r'["\ud83d\ude0': r'["\ud83d\ude0',
}


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("most", [5, 7, 13, 1 << 14])
def test_pairs_are_joined_and_nothing_else(text: str, most: int) -> None:
    """In JSON alone; an escaped backslash is none; halves stay what they are."""
    assert joined(text.encode(), most) == CASES[text].encode()


@given(st.lists(st.text(), min_size=1), st.integers(min_value=3, max_value=40))
def test_what_json_wrote_is_read_back(texts: list[str], most: int) -> None:
    """Any text that a JSON writer escapes, in any slices."""
    sound = [text for text in texts if not any("\ud800" <= char <= "\udfff" for char in text)]
    assert json.loads(joined(json.dumps(sound).encode(), most)) == sound


def test_a_job_file_in_json_may_escape_its_emoji(tmp_path: Path) -> None:
    """As every JSON writer does unless told otherwise; a byte-order mark and line breaks change nothing."""
    rows = [{"output_name": "a", "voice": "v", "text": "Well 😀 done"}]
    path = written(tmp_path, b"\xef\xbb\xbf\n" + json.dumps({"jobs": rows}, indent=1).encode())
    [found] = read_jobs(path, FileRules())
    assert found.spec.text == "Well 😀 done"


def test_half_a_character_is_named_with_its_line(tmp_path: Path) -> None:
    """There is no such text."""
    path = written(tmp_path, '[\n{"output_name": "a",\n"text": "\\ud83d"}]')
    [found] = scan_jobs(path, FileRules())
    assert isinstance(found, Problem)
    assert (found.line, found.message[:36]) == (3, "an escape names half a character (a ")
