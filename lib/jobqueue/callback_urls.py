"""Where a callback may go: the one reading of a `callback_url` and of `CALLBACK_ALLOWED_HOSTS`.

`normalise` refuses a job whose URL these rules do not allow; the watcher asks them again before each try, since the
settings may have changed meanwhile. Pure: nothing here resolves a name or opens a connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_URL_CHARACTERS: Final = 2_048
"""What every server takes; a longer one is data, and data belongs in `callback_data`."""

_OWN_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65_535
# Written so narrowly that no two readers of URLs can see different hosts in it.
_SHAPE: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?][!-\[\]-~]*)?",
    re.IGNORECASE,
)
_EXAMPLE: Final = "such as https://example.com/done"


@dataclass(frozen=True, slots=True)
class CallbackUrl:
    """A URL taken apart: `host` in small letters, an IPv6 address without brackets; `path` with the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _OWN_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """What may be shown of it: a path or a query may hold a token."""
        return f"{self.scheme}://{self.authority}"


def parse_callback_url(url: str) -> CallbackUrl:
    """The parts of a URL.

    Raises:
        ValueError: what is wrong with it, without showing it.

    """
    try:
        parts = urlsplit(url)
        has_user = "@" in parts.netloc
    except ValueError:
        raise ValueError(f"is no URL; write one {_EXAMPLE}") from None
    if has_user:
        raise ValueError("holds a user name or password, which records would show; remove it")
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"is {len(url)} characters long; at most {MAX_URL_CHARACTERS} are allowed")
    if "#" in url:
        raise ValueError("holds a fragment (#…), which no server is sent; remove it")
    found = _SHAPE.fullmatch(url)
    if found is None:
        raise ValueError(f"must be an http or https URL in plain ASCII, {_EXAMPLE}; write %20 for a blank")
    scheme = found["scheme"].lower()
    port = int(found["port"] or _OWN_PORTS[scheme])
    if not 0 < port <= _LAST_PORT:
        raise ValueError(f"is no URL: there is no port {port}; write one {_EXAMPLE}")
    path = found["path"] or "/"
    return CallbackUrl(scheme, found["host"].strip("[]").lower(), port, path if path.startswith("/") else f"/{path}")


def entry_for(host: str, port: int, *, scheme: str = "https") -> str:
    """How a place is written in CALLBACK_ALLOWED_HOSTS: a host alone means https on its own port."""
    shown = f"[{host}]" if ":" in host else host
    return shown if (scheme, port) == ("https", _OWN_PORTS["https"]) else f"{shown}:{port}"


def is_allowed(hosts: Collection[str], url: CallbackUrl, *, host: str | None = None) -> bool:
    """Whether the list names this place: a host alone for https on port 443, `host:port` for that port by http too.

    `host` asks for an address in the place of the URL's own host.
    """
    asked = url.host if host is None else host
    names = {each.lower() for each in hosts}
    shown = f"[{asked}]" if ":" in asked else asked
    return entry_for(asked, url.port, scheme=url.scheme) in names or f"{shown}:{url.port}" in names


def callback_url_problem(url: str, hosts: Collection[str]) -> str | None:
    """Why a job with this URL is refused, as it is said behind the field's name; None when it is not."""
    try:
        parsed = parse_callback_url(url)
    except ValueError as exc:
        return str(exc)
    if not is_allowed(hosts, parsed):
        entry = entry_for(parsed.host, parsed.port, scheme=parsed.scheme)
        return f"goes to {parsed.place}, which is not allowed; add {entry!r} to CALLBACK_ALLOWED_HOSTS"
    return None
