"""The value of `--redis-url`, checked where it was typed.

The settings check it too, but would speak of the variable REDIS_URL, which somebody who typed the option has not set.
Called by the programs before they load their settings. Reads nothing.
"""

from __future__ import annotations

from lib.errors import InvalidInputError
from lib.server_url import parse_server_url


def checked_server_url(given: str | None) -> str | None:
    """The same value, which may be None.

    Raises:
        InvalidInputError: it is no URL of a server; the message does not show it, since it may hold a password.

    """
    if given is None:
        return None
    try:
        parse_server_url(given)
    except ValueError as exc:
        raise InvalidInputError(
            f"--redis-url: what is given is no URL of a server; allowed: {exc}",
            hint="write it so, or leave the option out: then REDIS_URL or the bundled server is meant",
        ) from exc
    return given
