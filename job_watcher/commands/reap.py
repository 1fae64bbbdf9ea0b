"""`job-watcher reap`: end the rented machines that nobody owns. For cron, or after a watcher that rents has died.

It parses, calls `lib.renting` and prints; `job_watcher.cli` registers it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lib.command_line.output import Output
from lib.command_line.server_url_option import checked_server_url
from lib.errors import UnreachableError
from lib.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.renting.ending import Ended

EPILOG: Final = """\b
Examples:
  job-watcher reap --once
  job-watcher reap --once --quiet     by cron: says nothing where all is well

\b
A machine is ended when the watcher that rented it is gone, when no row of the
queue knows it, or when its time is over. Only what bears this queue's label is
touched; where the market or the queue does not answer for sure, nothing is.
A watcher that is silent is waited for, half a minute at most.
Exit codes: 0 nothing is left; 1 something may still cost money;
2 bad usage or settings; 3 Redis does not answer.
"""

EVERY_SECONDS: Final = 60.0


def reap(
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once, then end; else every minute.")] = False,
    redis_url: Annotated[
        str | None, typer.Option("--redis-url", help="Server to use instead of REDIS_URL.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON document a look on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what was ended or is left.")] = False,
) -> None:
    """End rented machines that nobody owns. It rents nothing and runs no job."""
    from lib import logs  # noqa: PLC0415 - --help must not pay for it
    from lib.redaction import this_process  # noqa: PLC0415 - ditto
    from lib.renting.visiting import ended_document, ended_lines  # noqa: PLC0415 - ditto
    from lib.settings import process_environment  # noqa: PLC0415 - ditto

    output = Output(as_json=json, quiet=quiet)
    settings = Settings.load(redis_url=checked_server_url(redis_url))
    logs.configure(level="WARNING", redact=this_process(process_environment, settings.secret_values()))

    def tell(ended: Ended) -> None:
        if json:
            output.document(ended_document(ended))
        elif not quiet or ended.bills or ended.strays or ended.left:
            output.data("\n".join(ended_lines(ended)))

    left = asyncio.run(_reap(settings, tell, once=once))
    raise typer.Exit(1 if left else 0)


async def _reap(settings: Settings, tell: Callable[[Ended], None], *, once: bool) -> bool:
    """Look once, or for ever; whether something is left.

    Raises:
        UnreachableError: the queue did not answer at the first look. Later ones are tried again.

    """
    from loguru import logger  # noqa: PLC0415 - --help must not pay for it

    from lib import wiring  # noqa: PLC0415 - ditto
    from lib.clock import SystemClock  # noqa: PLC0415 - ditto
    from lib.renting.visiting import reap as reap_all  # noqa: PLC0415 - ditto

    clock = SystemClock()
    markets = wiring.markets(settings, clock)
    try:
        async with wiring.opened_queue(settings) as queue:
            ended = await reap_all(queue, settings, markets, clock)
            tell(ended)
            while not once:
                await clock.sleep(EVERY_SECONDS)
                try:
                    tell(await reap_all(queue, settings, markets, clock))
                except UnreachableError as exc:
                    logger.warning("{}", exc.message)
            return bool(ended.left)
    finally:
        for market in markets.values():
            await market.aclose()
