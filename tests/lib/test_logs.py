"""Log lines: for people or machines, with the job they are about, and never with a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from lib import logs
from lib.redaction import BLACKENED, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = 'canary "value" \\ 0123'


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Leave the process's logging as pytest set it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logger.remove()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def out() -> io.StringIO:
    """Where lines go."""
    return io.StringIO()


def documents(out: io.StringIO) -> list[dict[str, Any]]:
    """Every line as JSON."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_lines_carry_the_fields(out: io.StringIO) -> None:
    """One JSON document a line: version, UTC time, level, message and the fields of the job."""
    logs.configure(json_lines=True, stream=out)
    with logs.about(run_id="r1", backend="metal"), logs.about(request_id="a:b", stream_id="1-0", attempt=2):
        logger.info("leased {count}", count=3)
    [line] = documents(out)
    assert line["schema_version"] == 1
    assert line["at"].endswith("Z")
    assert line["level"] == "info"
    assert line["message"] == "leased 3"
    assert {name: line[name] for name in logs.FIELDS} == {
        "run_id": "r1",
        "backend": "metal",
        "request_id": "a:b",
        "stream_id": "1-0",
        "attempt": 2,
    }


def test_fields_end_with_their_block(out: io.StringIO) -> None:
    """After the `with`, and where a field is None, nothing is said about it."""
    logs.configure(json_lines=True, stream=out)
    with logs.about(request_id="a", attempt=None):
        logger.info("inside")
    logger.info("outside")
    inside, outside = documents(out)
    assert inside["request_id"] == "a"
    assert "attempt" not in inside
    assert "request_id" not in outside


async def test_tasks_do_not_mix_their_fields(out: io.StringIO) -> None:
    """Two jobs that run at once each keep their own fields."""
    logs.configure(json_lines=True, stream=out)
    meet = asyncio.Barrier(2)

    async def job(name: str) -> None:
        with logs.about(request_id=name):
            await meet.wait()
            logger.info(name)

    await asyncio.gather(job("a"), job("b"))
    assert {(line["message"], line["request_id"]) for line in documents(out)} == {("a", "a"), ("b", "b")}


def test_people_read_lines_without_colour_codes(out: io.StringIO) -> None:
    """Off a terminal a line is plain, and braces or markup in a message stay what they are."""
    logs.configure(stream=out)
    with logs.about(request_id="x{y}"):
        logger.warning("odd <red>{}</red>", "{z}")
    assert out.getvalue().rstrip().endswith("WARNING  odd <red>{z}</red>  x{y}")
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("colour", [False, True])
def test_a_line_for_people_fits_a_terminal(out: io.StringIO, colour: bool) -> None:  # noqa: FBT001 - a case of the test
    """The job in a column, how long, which try and why; what only a program wants is left to the JSON lines."""
    logs.configure(stream=out, colour=colour)
    with logs.about(run_id="20261122T045507-ab12cd", backend="metal", stream_id="1700000000000-0", attempt=1):
        logger.bind(request_id="demo:beat-006", seconds=2.94).info("done")
        logger.bind(request_id="demo:beat-006", attempt=2).info("started")
        logger.bind(epoch=4).info("leading")
        logger.bind(color="blue").info("odd")
    why = {"error_type": "permanent", "stage": "execute", "error": "no voice 'x'\n\x1b[31mred"}
    logger.bind(request_id="demo:\x1bbeat-007", **why).warning("failed")
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line)[9:] for line in out.getvalue().splitlines()]
    assert lines == [
        "done     demo:beat-006  2.9 s",
        "started  demo:beat-006  attempt 2",
        "leading",
        "odd  color=blue",
        r"WARNING  failed   demo:\x1bbeat-007  permanent at execute: no voice 'x'\n\x1b[31mred",
    ]


def test_json_lines_have_what_people_are_spared(out: io.StringIO) -> None:
    """Every field by its name, whole."""
    logs.configure(json_lines=True, stream=out)
    fields = {"run_id": "r", "stream_id": "1-0", "epoch": 4, "seconds": 2.94, "stage": "execute", "error": "x" * 900}
    logger.bind(**fields).warning("failed")
    [line] = documents(out)
    assert fields.items() <= line.items()


def test_a_long_error_is_shortened_for_people(out: io.StringIO) -> None:
    """Its beginning says what it is; the record keeps it whole."""
    logs.configure(stream=out)
    logger.bind(request_id="a", error="x" * 9000).warning("failed")
    assert len(out.getvalue()) < 700
    assert out.getvalue().endswith("x…\n")


def test_colour_can_be_asked_for(out: io.StringIO) -> None:
    """With colour the same words are there."""
    logs.configure(stream=out, colour=True)
    logger.error("broken")
    assert "\x1b[31mbroken\x1b[0m" in out.getvalue()


def test_a_terminal_gets_colour_unless_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is honoured."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    seen = []
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        terminal = Terminal()
        logs.configure(stream=terminal)
        logger.info("hello")
        seen.append("\x1b" in terminal.getvalue())
    assert seen == [True, False]


def test_levels_below_the_asked_one_are_left_out(out: io.StringIO) -> None:
    """INFO by default."""
    logs.configure(stream=out)
    logger.debug("quiet")
    assert out.getvalue() == ""


@pytest.mark.parametrize("json_lines", [False, True])
def test_a_secret_is_blackened_wherever_it_stands(out: io.StringIO, json_lines: bool) -> None:  # noqa: FBT001 - a case of the test
    """In the message, a field, a repr, an exception or a library's line: never seen."""
    logs.configure(json_lines=json_lines, stream=out, redact=Redactor([CANARY]))
    with logs.about(request_id=CANARY):
        logger.info("plain {} and repr {!r} and in json {}", CANARY, CANARY, json.dumps(CANARY))
        logging.getLogger("library").warning("also %s", CANARY)
        try:
            int(CANARY)
        except ValueError:
            logger.exception("failed")
    written = out.getvalue()
    assert "0123" not in written
    assert written.count(BLACKENED) >= 8


def test_a_secret_is_blackened_before_a_long_value_is_cut(out: io.StringIO) -> None:
    """Or its beginning would be left where the cut falls, in which no value is found any more."""
    logs.configure(stream=out, redact=Redactor([CANARY]))
    for before in range(480, 501):
        logger.bind(request_id="a", error="x" * before + CANARY).warning("failed")
    assert "canary" not in out.getvalue()


def test_a_full_disk_under_the_log_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does loguru complain of it with the line as it was."""

    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    logs.configure(stream=Full(), redact=Redactor([CANARY]))
    logger.info("about {}", CANARY)
    assert capsys.readouterr().err == ""


def test_variables_never_stand_in_tracebacks(out: io.StringIO) -> None:
    """A traceback shows code, not the values that it handled."""
    logs.configure(json_lines=True, stream=out)
    password = "unknown-to-redaction".upper()
    try:
        int(password[:0] or "x")
    except ValueError:
        logger.exception("failed")
    [line] = documents(out)
    assert "ValueError" in line["trace"]
    assert "UNKNOWN-TO" not in out.getvalue()


def test_libraries_and_warnings_come_the_same_way(out: io.StringIO) -> None:
    """What the standard library's logging and warnings say is in the same form."""
    logs.configure(json_lines=True, stream=out)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    first, second = documents(out)
    assert (first["level"], first["message"]) == ("error", "asyncio: Task exception was never retrieved")
    assert "DeprecationWarning: old" in second["message"]


def test_a_reader_that_went_away_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """`job-watcher | head` must not end the watcher, nor bury its terminal in complaints."""

    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    logs.configure(stream=Gone())
    logger.info("nobody hears this")
    assert capsys.readouterr().err == ""


def test_configuring_again_replaces(out: io.StringIO) -> None:
    """No line is ever printed twice."""
    logs.configure(stream=out)
    logs.configure(stream=out)
    logger.info("once")
    assert out.getvalue().count("once") == 1


@given(st.text(max_size=30), st.text(min_size=4, max_size=12), st.text(max_size=30))
def test_redaction_leaves_no_secret(before: str, secret: str, after: str) -> None:
    """Whatever stands around it, the value is gone, also inside JSON."""
    redact = Redactor([secret])
    assert secret not in redact(f"{before}{secret}{after}").replace(BLACKENED, "")
    assert json.dumps(secret)[1:-1] not in redact(json.dumps([secret])).replace(BLACKENED, "")


def test_a_secret_that_begins_with_another_leaves_no_end() -> None:
    """The longer one is blackened as a whole."""
    assert Redactor(["abcd", "abcdefgh"])("x abcdefgh y") == f"x {BLACKENED} y"
