"""The quote as people type and read it: `07:00` becomes a moment, and rows become a table of 80 columns."""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, timedelta
from math import isfinite
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from job_runner.cli.tables import Table, cap_text, counted, seconds_text
from job_runner.service.quoting import ASIDE, NAMED_MOST, finish
from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from job_runner.service.quoting import Asked
    from lib.command_line.output import Output
    from lib.routing.quoted import Quote, Row

_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_WEEK: Final = timedelta(days=6)
_PERCENT_LEAST: Final = 0.01
_CENTS_LEAST: Final = 0.01
_SHOWN_LEAST: Final = 0.0001


def deadline_of(given: str | None, now: datetime) -> datetime | None:
    """The moment that is meant: `07:00` is the next one on the clock of this machine.

    Raises:
        InvalidInputError: it is neither a time of day nor a moment with its timezone, or it has passed.

    """
    if given is None:
        return None
    clock = _CLOCK.fullmatch(given.strip())
    if clock is not None:
        return _next_local(int(clock[1]), int(clock[2]), now)
    try:
        moment = datetime.fromisoformat(given.strip())
    except ValueError:
        raise _not_a_time(f"is {given!r}") from None
    if moment.tzinfo is None:
        raise _not_a_time(f"{given!r} has no timezone")
    if moment <= now:
        raise InvalidInputError(f"--deadline {given} has passed already", hint="name one to come")
    # Some clock on Earth would not know how to show it.
    if moment.year >= MAXYEAR:
        raise _not_a_time(f"{given!r} is too far away")
    return moment.astimezone(UTC)


def budget_of(given: float | None) -> float | None:
    """The dollars that are meant.

    Raises:
        InvalidInputError: they are no finite number.

    """
    if given is not None and not isfinite(given):
        raise InvalidInputError(f"--budget: {given} is no amount", hint="write dollars such as 2.50, or leave it out")
    return given


def _not_a_time(said: str) -> InvalidInputError:
    return InvalidInputError(
        f"--deadline: {said}", hint="write a time of day such as 07:00, or a moment such as 2026-01-31T18:00:00+01:00"
    )


def _next_local(hour: int, minute: int, now: datetime) -> datetime:
    here = now.astimezone().replace(tzinfo=None)
    wanted = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if wanted.astimezone(UTC) <= now:
        wanted += timedelta(days=1)
    # Turned into a moment only now: tomorrow may have another offset.
    return wanted.astimezone(UTC)


def quote_lines(found: Quote, asked: Asked, now: datetime, output: Output) -> Iterator[str]:
    """The table, and below it which way to take and why."""
    if found.recommended is None:
        return
    table = Table(
        ("WAY", "P50", "P90", "DONE P90", "USD P50", "USD P90", "RISK"),
        ("left", "right", "right", "right", "right", "right", "right"),
    )
    for i, row in enumerate(found.rows):
        p50, p90 = row.seconds
        mark = " *" if i == found.recommended else ""
        table.row(
            row.way.name + mark,
            _seconds(p50),
            _seconds(p90),
            moment_text(finish(now, p90), now),
            usd_text(row.usd[0]),
            usd_text(row.usd[1]),
            risk_text(row.risk),
            details=[_details(row)],
            style="",
        )
    yield from table.lines(output.width, output.paint)
    best = found.rows[found.recommended]
    policy = f", CONDUCTOR_POLICY={best.way.policy}" if len(best.way.backends) > 1 else ""
    said = [f"* recommended: {best.way.name}{policy}: {found.reason}"]
    if best.risk is not None:
        wanted = [f"done by {moment_text(asked.deadline, now)}"] if asked.deadline is not None else []
        wanted += [f"within {cap_text(asked.budget_usd)}"] if asked.budget_usd is not None else []
        beside = f" ({', '.join(wanted)})" if wanted else ""
        apart = sum(each.jobs for each in found.aside)
        without = f"; without the {counted(apart, 'job')} named below, which no way helps" if apart else ""
        said.append(f"  risk: the chance that deadline or budget is missed{beside}{without}")
    for sentence in said:
        yield from wrap(sentence, output.width, subsequent_indent="  ")


def aside_notes(found: Quote) -> Iterator[str]:
    """A sentence for each reason why no way helps some jobs, with the first of them."""
    for each in found.aside:
        named = ", ".join(each.first[:NAMED_MOST])
        more = f" and {each.jobs - NAMED_MOST} more" if each.jobs > NAMED_MOST else ""
        yield f"{counted(each.jobs, 'job')} ({named}{more}): {ASIDE[each.why]}"


def _details(row: Row) -> str:
    parts = [f"{count} on {name}" for name, count in row.jobs.items() if count or len(row.jobs) == 1]
    policy = [f"policy {row.way.policy}"] if len(row.way.backends) > 1 else []
    no_place = [f"no place for {counted(row.impossible, 'job')}"] if row.impossible else []
    late = [f"{row.late} late at p90"] if row.late else []
    return "; ".join([", ".join(parts), *policy, *no_place, *late])


def _seconds(seconds: float) -> str:
    return seconds_text(seconds) if isfinite(seconds) else "never"


def moment_text(moment: datetime | None, now: datetime) -> str:
    """A moment on the clock of this machine: `07:00`, `Tue 07:00`, `2026-01-31`."""
    if moment is None:
        return "never"
    here, today = moment.astimezone(), now.astimezone().date()
    if here.date() == today:
        return f"{here:%H:%M}"
    return f"{here:%a %H:%M}" if here.date() - today <= _WEEK else f"{here:%Y-%m-%d}"


def usd_text(usd: float) -> str:
    """Dollars: cents, or parts of them where there is no whole one."""
    if usd == 0:
        return "0"
    if usd >= _CENTS_LEAST:
        return f"{usd:.2f}"
    return f"{usd:.4f}" if usd >= _SHOWN_LEAST else f"<{_SHOWN_LEAST}"


def risk_text(risk: float | None) -> str:
    """A chance in whole percents, never rounded to certainty."""
    if risk is None:
        return "-"
    if 0 < risk < _PERCENT_LEAST:
        return "<1 %"
    return ">99 %" if 1 - _PERCENT_LEAST < risk < 1 else f"{risk:.0%}".replace("%", " %")
