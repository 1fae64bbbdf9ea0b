"""What is wrong with a file that is no YAML and no JSON, in words that say what to do.

libyaml's messages are written for its authors; most mistakes that people make earn one of a few of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml
from yaml.reader import ReaderError

from lib.jobfile.yaml_events import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.jobfile.findings import Findings
    from lib.jobfile.source import BoundedStream


@contextmanager
def mistakes_told(stream: BoundedStream, findings: Findings) -> Iterator[None]:
    """Note what makes the rest of `stream` unreadable, and end the block there."""
    try:
        yield
    except UnreadableError:
        pass  # its reason was noted
    except ReaderError as exc:
        findings.add(stream.line_at(exc.position), "", _unreadable_bytes(exc))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark is not None else 1
        findings.add(line, "", _syntax_mistake(exc, line, stream))


def _syntax_mistake(exc: yaml.MarkedYAMLError, line: int, stream: BoundedStream) -> str:
    said = exc.problem or exc.context or "cannot be read"
    if "Unicode character escape" in said:
        return "an escape names half a character (a surrogate); write the character itself, as UTF-8"
    mend = _mend(said, line, stream)
    wanted = "JSON or YAML" if stream.source.lower().endswith(".json") else "YAML"
    if mend:
        return f"is no {wanted}: {mend}"
    context = f" ({exc.context})" if exc.problem and exc.context else ""
    return f"is no {wanted}: {said}{context}; check indentation, quotes and brackets here and above"


def _mend(said: str, line: int, stream: BoundedStream) -> str:
    """What people usually did to earn this message of the parser; empty when that is not known."""
    text = stream.text_of(line)
    if "\t" in text[: len(text) - len(text.lstrip())]:
        return "a tab stands in the indentation; indent with spaces"
    if "mapping values are not allowed" in said:
        return "there is a second colon in this line or the indentation is off; put a text that holds ': ' in quotes"
    if "cannot start any token" in said:
        mark = "a tab; write a space" if "\t" in text else "@, ` or %; put the text in quotes"
        return f"a value starts with {mark}"
    return ""


def _unreadable_bytes(exc: ReaderError) -> str:
    if isinstance(exc.character, int) and "control characters" in exc.reason:
        return f"holds the control character 0x{exc.character:02x}; save the file as UTF-8 text without it"
    return f"is no UTF-8 ({exc.reason}); save the file as UTF-8"
