"""Which server a command talks to, in words: a person with two of them must see which one has the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lib.server_url import without_secrets

if TYPE_CHECKING:
    from lib.settings import RedisUrlSource, Settings

_FROM: Final[dict[RedisUrlSource, str]] = {
    "flag": "from --redis-url",
    "environment": "from REDIS_URL",
    "embedded": "the bundled one",
    "default": "the default; REDIS_URL is not set",
}


def server_text(settings: Settings) -> str:
    """The URL without its password, and where it was taken from."""
    return f"{without_secrets(settings.redis_url)} ({_FROM[settings.redis_url_source]})"
