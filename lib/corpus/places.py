"""What a corpus location in a job may lead to on this machine, and nothing else.

A job names a corpus; whoever can submit jobs must not be able to make a watcher write beside any file, or into any
database, that the watcher's user can reach. So a file must lie below the corpus root, whatever dots and symlinks say,
and a database server must be the one of DATABASE_URL, which also holds the password that no job carries. It opens
nothing. The task `annotate` and the plan of the gap-fill workflow ask it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from lib.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from lib.settings import Settings

_POSTGRES: Final = frozenset({"postgres", "postgresql", "postgresql+pg8000"})
_POSTGRES_PORT: Final = 5432
_ALLOWED: Final = "name a JSONL file, sqlite:///FILE or postgresql://USER@HOST:PORT/NAME"


@dataclass(frozen=True, slots=True)
class CorpusPlaces:
    """Where corpora may be: files below `root`, and the database of `database_url`."""

    root: Path
    database_url: str

    @classmethod
    def of(cls, settings: Settings) -> CorpusPlaces:
        """As the settings say; the root is WATCHER_CORPUS_ROOT."""
        return cls(settings.watcher_corpus_root, settings.database_url)

    def file(self, location: str) -> Path:
        """The JSONL file of a location.

        Raises:
            InvalidInputError: it leads out of the root.
            NotFoundError: no such file is here.

        """
        place = self._below(location)
        if not place.is_file():
            raise NotFoundError(
                f"no corpus {location} is here: {place} is no file",
                hint="the corpus must lie below WATCHER_CORPUS_ROOT of every machine that works on it",
            )
        return place

    def database(self, location: str) -> str:
        """The URL of a location, complete with its password, as SQLAlchemy takes it.

        Raises:
            InvalidInputError: it is no database that may be used here.
            NotFoundError: the SQLite file is not here.

        """
        if location.startswith("sqlite:"):
            return f"sqlite:///{self._sqlite_file(location)}"
        meant, known = _server(location), _server(self.database_url, told=location)
        if replace(meant, password="") != replace(known, password=""):
            raise InvalidInputError(
                f"the corpus {shown_url(location)} is not the database that DATABASE_URL names here",
                hint="set DATABASE_URL of the watchers to it, with the password",
            )
        return known.url()

    def location_of(self, given: str) -> str:
        """How a job names what somebody at a command line named: relative to the root, without a password.

        A relative path is one of the working directory.

        Raises:
            InvalidInputError: it does not lie below the root, or is no such location.

        """
        if is_url(given) and not given.startswith("sqlite:"):
            return replace(_server(given), password="").url()
        path = Path(_sqlite_path(given) if is_url(given) else given).expanduser().absolute()
        root = self.root.resolve()
        try:
            inside = path.resolve().relative_to(root)
        except ValueError:
            raise InvalidInputError(
                f"the corpus {given} does not lie below {root}",
                hint="set WATCHER_CORPUS_ROOT to a directory above it, here and for the watchers",
            ) from None
        return f"sqlite:///{inside.as_posix()}" if is_url(given) else inside.as_posix()

    def _sqlite_file(self, location: str) -> Path:
        path = _sqlite_path(location)
        own = self.database_url.startswith("sqlite:///") and Path(_sqlite_path(self.database_url)).resolve()
        if own and Path(path).is_absolute() and Path(path).resolve() == own:
            return own
        place = self._below(path)
        if not place.is_file():
            raise NotFoundError(
                f"no database {location} is here: {place} is no file",
                hint="it must lie below WATCHER_CORPUS_ROOT of every machine that works on it",
            )
        return place

    def _below(self, location: str) -> Path:
        root = self.root.resolve()
        if "\0" in location:
            raise InvalidInputError(f"the corpus {location!r} is no path")
        # Resolved, so that neither dots nor symlinks lead anywhere else.
        place = (root / location).resolve()
        if not place.is_relative_to(root) or place == root:
            raise InvalidInputError(
                f"the corpus {location} does not lie below {root}",
                hint="a job may name what is below WATCHER_CORPUS_ROOT and nothing else",
            )
        return place


def is_url(location: str) -> bool:
    """Whether a location is that of a database."""
    return "://" in location


def shown_url(url: str) -> str:
    """A URL as a message may show it."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, _, user = before.partition("://")
    return f"{scheme}://{user.partition(':')[0]}@{after}"


@dataclass(frozen=True, slots=True)
class _Server:
    user: str
    password: str
    host: str
    port: int
    name: str

    def url(self) -> str:
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql+pg8000://{quote(self.user, safe='')}{secret}@{host}:{self.port}/{quote(self.name, safe='')}"


def _server(url: str, *, told: str = "") -> _Server:
    if "\0" in unquote(url):
        raise InvalidInputError(f"the corpus {shown_url(url)!r} holds a NUL (%00)", hint=_ALLOWED)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _POSTGRES_PORT
    except ValueError as exc:
        raise InvalidInputError(f"the corpus {shown_url(url)} is no URL: {exc}", hint=_ALLOWED) from None
    if parts.scheme not in _POSTGRES:
        if told:
            raise InvalidInputError(
                f"the corpus {shown_url(told)} cannot be reached: DATABASE_URL names no PostgreSQL here",
                hint="set DATABASE_URL of the watchers to it, with the password",
            )
        raise InvalidInputError(f"the corpus {shown_url(url)} is in no database that is known", hint=_ALLOWED)
    if not host or not parts.path.strip("/") or not parts.username or parts.query or parts.fragment:
        raise InvalidInputError(f"the corpus {shown_url(url)} is no complete URL", hint=_ALLOWED)
    return _Server(unquote(parts.username), unquote(parts.password or ""), host, port, unquote(parts.path[1:]))


def _sqlite_path(url: str) -> str:
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path or path.startswith(":"):
        raise InvalidInputError(f"the corpus {url} is no SQLite file", hint="write sqlite:///FILE, and no more")
    return path
