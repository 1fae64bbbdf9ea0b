"""The address of a server as one URL: which forms there are, what each part means, and how it is shown.

One place for all who read REDIS_URL: the settings check it and know its secrets, the queue connects by it, the
messages show it. It looks at text only: whether the files that it names exist is found out when they are opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["server", "socket", "sentinel"]
Host = tuple[str, int]

FORMS: Final = (
    "redis://HOST:PORT/DB, rediss://… for TLS, unix:///path, "
    "or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB (rediss+sentinel://… for TLS)"
)
DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

_SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("socket", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
}
_PLAIN: Final = ("db", "username", "password")
TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_check_hostname")
_SENTINEL: Final = ("sentinel_username", "sentinel_password")
_SECRET: Final = ("password", "ssl_password", "sentinel_password")
_LAST_PORT: Final = 65535
_YES_NO: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A URL in its parts; `hosts` are the Sentinels where `kind` is `sentinel`."""

    kind: Kind
    tls: bool
    hosts: tuple[Host, ...]
    path: str
    """Of the socket."""
    service: str
    """What the Sentinels call the master."""
    db: int
    username: str | None
    password: str | None = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """What nobody may see, as it is and as it stands in the URL."""

    @property
    def check_hostname(self) -> bool:
        """Whether the certificate must be for the host of the URL."""
        return _YES_NO[self.options.get("ssl_check_hostname", "yes").lower()]


def parse_server_url(text: str) -> ServerUrl:
    """The parts of a URL.

    Raises:
        ValueError: its text is what is allowed, and never shows the URL.

    """
    parts = _split(text)
    if parts.scheme not in _SCHEMES:
        raise ValueError(FORMS)
    kind, tls = _SCHEMES[parts.scheme]
    options = _options(parts, kind, tls=tls)
    hosts = _hosts(parts, kind)
    service, db = _service_and_db(parts, kind, options)
    user, _, password = parts.credentials.partition(":")
    path = unquote(parts.path) if kind == "socket" else ""
    if kind == "socket" and not path:
        raise ValueError(FORMS)
    return ServerUrl(
        kind,
        tls,
        hosts,
        path,
        service,
        db,
        options.get("username", unquote(user)) or None,
        options.get("password", unquote(password)) or None,
        options,
        _secrets(password, parts.query),
    )


def _secrets(password: str, query: str) -> tuple[str, ...]:
    pairs = (each.partition("=") for each in query.split("&"))
    written = {password, *(value for name, _, value in pairs if name in _SECRET)}
    return tuple(sorted({*written, *map(unquote, written)} - {""}))


class _Parts(NamedTuple):
    scheme: str
    credentials: str
    hosts: str
    path: str
    query: str


def _split(text: str) -> _Parts:
    """As urlsplit, which in newer Pythons refuses an IPv6 address among several hosts."""
    scheme, _, rest = text.partition("://")
    rest, _, query = rest.partition("?")
    place, slash, path = rest.partition("/")
    credentials, _, hosts = place.rpartition("@")
    return _Parts(scheme.lower(), credentials, hosts, slash + path, query)


def _options(parts: _Parts, kind: Kind, *, tls: bool) -> dict[str, str]:
    allowed = (*_PLAIN, *(TLS_OPTIONS if tls else ()), *(_SENTINEL if kind == "sentinel" else ()))
    options = dict(parse_qsl(parts.query))
    for name, value in options.items():
        if name not in allowed:
            # Others, such as socket_timeout, would overrule what the queue needs: a read must outlast its block.
            where = "" if name not in TLS_OPTIONS else ", with rediss://"
            raise ValueError(f"no option {name!r} here{where}; there are {', '.join(allowed)}")
        if name == "ssl_check_hostname" and value.lower() not in _YES_NO:
            raise ValueError(f"{name}=yes or {name}=no")
    return options


def _hosts(parts: _Parts, kind: Kind) -> tuple[Host, ...]:
    if kind == "socket":
        return ()
    default = DEFAULT_SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    hosts = tuple(_host(each.strip(), default) for each in parts.hosts.split(","))
    if kind == "server" and len(hosts) > 1:
        raise ValueError(f"one host; for Sentinels {FORMS.partition(', or ')[2]}")
    return hosts


def _host(text: str, default_port: int) -> Host:
    """A host with its port; an IPv6 address stands in brackets."""
    name, bracket, rest = text.removeprefix("[").partition("]") if text.startswith("[") else ("", "", text)
    if not bracket:
        name, colon, port = text.partition(":")
    else:
        colon, port = rest[:1], rest[1:]
    if not name or (colon and colon != ":"):
        raise ValueError(FORMS)
    if not port:
        return name, default_port
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= _LAST_PORT:
        raise ValueError(FORMS)
    return name, int(port)


def _service_and_db(parts: _Parts, kind: Kind, options: Mapping[str, str]) -> tuple[str, int]:
    pieces = [] if kind == "socket" else [unquote(piece) for piece in parts.path.strip("/").split("/") if piece]
    service = ""
    if kind == "sentinel":
        if not pieces:
            raise ValueError("redis+sentinel://HOST:PORT/SERVICE, with the name that the Sentinels have for the master")
        service, *pieces = pieces
    db = options.get("db", pieces[0] if pieces else "0")
    if len(pieces) > 1 or not db.isascii() or not db.isdigit():
        raise ValueError(f"a database is a number; {FORMS}")
    return service, int(db)


def without_secrets(text: str) -> str:
    """The URL as it may be shown, also one that is none."""
    scheme, separator, rest = text.partition("://")
    place, question, query = rest.partition("?")
    credentials, at, host = place.rpartition("@")
    if at:
        place = f"{credentials.partition(':')[0]}:***@{host}"
    shown = [
        f"{name}=***" if name in _SECRET else f"{name}{equals}{value}"
        for name, equals, value in (each.partition("=") for each in query.split("&"))
    ]
    return f"{scheme}{separator}{place}{question}{'&'.join(shown)}"
