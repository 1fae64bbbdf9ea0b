"""What a program says while it runs: lines for people, or JSON lines for machines, both without secrets.

A line for people is short: the time, what happened, the job, and why. A JSON line has every field.

Loguru does the work; this module decides the two forms, carries the fields that say which job a line is
about, sends what libraries log the same way, and blackens every secret by its value, wherever it stands. It
does not rotate files: lines go to stderr and whoever starts the program keeps them. Called once by each
program at its start; everything else imports `logger` from loguru and uses `about` for the fields.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from datetime import UTC
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

from lib.clock import iso
from lib.redaction import Redactor
from lib.terminal import clean

if TYPE_CHECKING:
    from loguru import Message, Record

FIELDS = ("run_id", "backend", "request_id", "stream_id", "attempt")
"""The fields that `about` sets, in the order in which they are shown."""

_FOR_MACHINES = frozenset({*FIELDS, "seconds", "epoch", "session", "kind", "error_type", "stage", "error"})
"""Fields that a line for people leaves out or shows in its own way; JSON lines have all of them by name."""

_SHOWN_CHARACTERS = 500
"""Of one value in a line for people."""

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_COLOURS = {
    "DEBUG": "\x1b[36m",
    "SUCCESS": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}


def configure(
    *,
    json_lines: bool = False,
    level: str = "INFO",
    redact: Redactor | None = None,
    stream: TextIO | None = None,
    colour: bool | None = None,
) -> None:
    """Set where and how this process logs; a second call replaces the first.

    `redact` (`lib.redaction.this_process`) takes the secrets out of every line. `colour` None means: on a terminal,
    unless NO_COLOR is set.
    """
    target = stream if stream is not None else sys.stderr
    if colour is None:
        colour = target.isatty() and not os.environ.get("NO_COLOR")
    form = _json_line if json_lines else (_coloured_line if colour else _plain_line)
    hide = redact or Redactor()

    def sink(message: Message) -> None:
        text = hide(form(message.record, str(message).strip(), hide))
        # A reader that went away, as `| head`, or a full disk must not end a watcher; nor may loguru complain of it on
        # the same stderr, with the line as it was before redaction.
        with contextlib.suppress(OSError, ValueError):
            target.write(f"{text}\n")
            target.flush()

    logger.remove()
    # diagnose would print the values of variables into tracebacks, where no redaction by name could follow.
    logger.add(sink, level=level, format=lambda _: "{exception}", diagnose=False, backtrace=False)
    # What libraries say below a warning is about each of their requests, and of no use to whoever watches jobs.
    logging.basicConfig(handlers=[_FromStandardLibrary()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def about(
    *,
    run_id: str | None = None,
    backend: str | None = None,
    request_id: str | None = None,
    stream_id: str | None = None,
    attempt: int | None = None,
) -> contextlib.AbstractContextManager[None]:
    """Give every line inside the `with`, and in tasks started inside it, these fields; None leaves one as it is."""
    given = {
        "run_id": run_id,
        "backend": backend,
        "request_id": request_id,
        "stream_id": stream_id,
        "attempt": attempt,
    }
    return logger.contextualize(**{name: value for name, value in given.items() if value is not None})


def _plain_line(record: Record, trace: str, redact: Redactor) -> str:
    line = f"{record['time']:%H:%M:%S} {_level(record)}{_said(record)}{_about(record, redact)}"
    return line + (f"\n{trace}" if trace else "")


def _coloured_line(record: Record, trace: str, redact: Redactor) -> str:
    tint = _COLOURS.get(record["level"].name, "")
    level = f"{tint}{level}{_RESET}" if (level := _level(record)) else ""
    line = f"{_DIM}{record['time']:%H:%M:%S}{_RESET} {level}{tint}{_said(record)}{_RESET}{_about(record, redact)}"
    return line + (f"\n{trace}" if trace else "")


def _level(record: Record) -> str:
    """The common one is not said."""
    name = record["level"].name
    return "" if name == "INFO" else f"{name:<8} "


def _said(record: Record) -> str:
    """Short words about jobs stand in a column before the names of the jobs."""
    return f"{record['message']:<7}" if "request_id" in record["extra"] else record["message"]


def _about(record: Record, redact: Redactor) -> str:
    """Which job, how long, which try, why: what a person wants to know in a line of 80 columns."""
    extra = record["extra"]
    parts = [_clean(extra["request_id"], redact)] if "request_id" in extra else []
    if "seconds" in extra:
        parts.append(f"{extra['seconds']:.1f} s")
    if extra.get("attempt", 1) != 1:
        parts.append(f"attempt {extra['attempt']}")
    if "error" in extra:
        error = _clean(extra["error"], redact)
        parts.append(f"{extra.get('error_type', 'failed')} at {extra.get('stage', '?')}: {error}")
    parts += [f"{name}={_clean(value, redact)}" for name, value in extra.items() if name not in _FOR_MACHINES]
    return "".join(f"  {part}" for part in parts)


def _clean(value: object, redact: Redactor) -> str:
    """Without what drives a terminal: names and errors come from jobs. Redacted whole, before anything is cut off."""
    text = redact(str(value))
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return clean(shown)


def _json_line(record: Record, trace: str, redact: Redactor) -> str:
    document: dict[str, Any] = {
        "schema_version": 1,
        "at": iso(record["time"].astimezone(UTC)),
        "level": record["level"].name.lower(),
        "message": record["message"],
        "module": record["name"],
        **_extra(record),
    }
    if trace:
        document["trace"] = trace
    # Before encoding too: a message may itself quote JSON, and escaping twice would hide a value.
    shown = {name: redact(value) if isinstance(value, str) else value for name, value in document.items()}
    return json.dumps(shown, ensure_ascii=False, default=str)


def _extra(record: Record) -> dict[str, Any]:
    """The known fields first, then whatever else was bound; unset ones are left out."""
    extra = record["extra"]
    names = [*(name for name in FIELDS if name in extra), *(name for name in extra if name not in FIELDS)]
    return {name: extra[name] for name in names}


class _FromStandardLibrary(logging.Handler):
    """Hands what libraries log, asyncio's lost exceptions among them, to the same sink."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        bound = logger.opt(depth=6, exception=record.exc_info)
        bound.log(level, "{}: {}", record.name, record.getMessage())
