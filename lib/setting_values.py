"""How the text of an environment variable becomes a value: one parser a kind, each saying what it allows.

A parser raises ValueError whose text is what is allowed; `lib.settings` puts the name and the value in front. None of
them connects to anything or creates anything.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lib.server_url import parse_server_url

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
"""Where a server answers on most machines, and where `job-runner server start` puts the bundled one."""

_SECRET_MIN_LENGTH = 16

PREFIX = re.compile(r"^(?=.{1,64}$)[A-Za-z0-9._-]*(\{[A-Za-z0-9._-]+\})?[A-Za-z0-9._-]*$")
DURABILITY = re.compile(r"^(memory|fsynced|replicated:[1-9][0-9]*)$")
MODULE = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", re.ASCII)
HOST = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
OBJECT_PREFIX = re.compile(r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")
HTTP_URL = re.compile(r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")
MODEL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$")
_DATABASE_URL = re.compile(r"^(sqlite://(/.*)?|[a-z][a-z0-9+]*://[^\s\[\]]+)$", re.DOTALL)
_INTEGER = re.compile(r"^[+-]?[0-9]+$")
_DECIMAL = re.compile(r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(text: str) -> int:
        # int() alone would also take 1_000 and digits of other scripts, which a person rarely means.
        if not _INTEGER.match(text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Seconds within bounds."""

    def parse(text: str) -> float:
        # float() alone would also take nan and inf, which make every later comparison silently false.
        if not _DECIMAL.match(text) or not low <= float(text) <= high:
            raise ValueError(f"seconds, from {low:g} to {high:g}")
        return float(text)

    return parse


def whole_or_unlimited(low: int, high: int) -> Callable[[str], int | None]:
    """The same; 0 for no limit, since the empty text means the default."""
    parse = whole(0, high)

    def parse_limit(text: str) -> int | None:
        number = parse(text)
        if 0 < number < low:
            raise ValueError(f"a whole number from {low} to {high}, or 0 for no limit")
        return number or None

    return parse_limit


def decimal(low: float, high: float) -> Callable[[str], float]:
    """A number within bounds."""

    def parse(text: str) -> float:
        if not _DECIMAL.match(text) or not low <= float(text) <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(text)

    return parse


def decimal_or_none(low: float, high: float) -> Callable[[str], float | None]:
    """The same, or none."""
    parse = decimal(low, high)
    return lambda text: parse(text) if text else None


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join((", ".join(words[:-1]), words[-1])))
        return text

    return parse


def matching(pattern: re.Pattern[str], allowed: str) -> Callable[[str], str]:
    """A text of this form, not empty."""

    def parse(text: str) -> str:
        if not text or not pattern.match(text):
            raise ValueError(allowed)
        return text

    return parse


def matching_or_empty(pattern: re.Pattern[str], allowed: str) -> Callable[[str], str]:
    """A text of this form, or none."""

    def parse(text: str) -> str:
        if text and not pattern.match(text):
            raise ValueError(allowed)
        return text

    return parse


def list_of(pattern: re.Pattern[str], allowed: str) -> Callable[[str], tuple[str, ...]]:
    """Items of this form, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        items = tuple(item for item in (part.strip() for part in text.split(",")) if item)
        if not all(pattern.match(item) for item in items):
            raise ValueError(allowed)
        return items

    return parse


def secret(text: str) -> str:
    """A secret, or none."""
    # A short one could be guessed from a signature, and would blacken half of every log line.
    if text and len(text) < _SECRET_MIN_LENGTH:
        raise ValueError(f"at least {_SECRET_MIN_LENGTH} characters")
    return text


def redis_url(text: str) -> str:
    """A URL of a server or of its Sentinels."""
    parse_server_url(text)
    return text


def directory(text: str) -> Path:
    """A directory, as an absolute path."""
    allowed = "a directory, existing or to be made"
    try:
        path = Path(text).expanduser()
        is_other = path.exists() and not path.is_dir()
    except (RuntimeError, OSError) as exc:  # no such user; a name that is too long
        raise ValueError(allowed) from exc
    if is_other:
        raise ValueError(allowed)
    return path.absolute()


def directory_or_none(text: str) -> Path | None:
    """A directory, or none."""
    return directory(text) if text else None


def file_or_none(text: str) -> Path | None:
    """A file that is there, or none."""
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError("a file that can be read")
    return path.absolute()


def database_url(text: str) -> str:
    """A URL as SQLAlchemy reads it; which databases there are, the task that opens one says."""
    if not _DATABASE_URL.match(text):
        raise ValueError("sqlite:///FILE or postgresql+pg8000://USER:PASSWORD@HOST:PORT/NAME")
    return text


def yes_or_no(text: str) -> bool:
    """A consent, said in one of the usual words."""
    words = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    if text.casefold() not in words:
        raise ValueError("yes or no")
    return words[text.casefold()]
