"""Every form of a server's URL is read into its parts; a wrong one is named without being shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.server_url import parse_server_url, without_secrets

CANARY = "canary-7d1f"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://h", {"kind": "server", "tls": False, "hosts": (("h", 6379),), "db": 0, "username": None}),
        ("redis://h:7/2", {"hosts": (("h", 7),), "db": 2}),
        ("redis://h:7?db=3", {"db": 3}),
        ("REDISS://u:p%40@[::1]:7/2", {"tls": True, "hosts": (("::1", 7),), "username": "u", "password": "p@"}),
        ("redis://:p@h", {"username": None, "password": "p"}),
        ("redis://h?username=u&password=p%25", {"username": "u", "password": "p%"}),
        ("unix:///run/a.sock?db=1", {"kind": "socket", "path": "/run/a.sock", "db": 1, "hosts": ()}),
        ("redis+sentinel://a:1,b/main", {"kind": "sentinel", "hosts": (("a", 1), ("b", 26379)), "service": "main"}),
        ("rediss+sentinel://u:p@a:1,[::1]:2/main/4", {"tls": True, "hosts": (("a", 1), ("::1", 2)), "db": 4}),
    ],
)
def test_a_sound_url_is_read(text: str, expected: dict[str, Any]) -> None:
    """Hosts with their usual ports, database, user and password, service."""
    parts = parse_server_url(text)
    assert {name: getattr(parts, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", "redis://HOST:PORT/DB"),
        ("localhost:6379", "redis://HOST:PORT/DB"),
        ("http://h", "redis://HOST:PORT/DB"),
        ("redis://", "redis://HOST:PORT/DB"),
        ("redis://h:0", "redis://HOST:PORT/DB"),
        ("redis://h:65536", "redis://HOST:PORT/DB"),
        ("redis://h:٣", "redis://HOST:PORT/DB"),
        ("redis://[::1]x:7", "redis://HOST:PORT/DB"),
        ("redis://h/zero", "a database is a number"),
        ("redis://h/1/2", "a database is a number"),
        ("redis://a,b", "one host; for Sentinels redis[+]sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel://a:1", "redis[+]sentinel://HOST:PORT/SERVICE, with the name"),
        ("unix://", "unix:///path"),
        ("redis://h?ssl_ca_certs=/ca.pem", "no option 'ssl_ca_certs' here, with rediss://"),
        ("redis://h?sentinel_password=x", "no option 'sentinel_password' here"),
        ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname=yes or ssl_check_hostname=no"),
    ],
)
def test_a_wrong_url_is_answered_with_what_is_allowed(text: str, allowed: str) -> None:
    """Each kind of mistake has its own answer."""
    with pytest.raises(ValueError, match=allowed):
        parse_server_url(text)


@pytest.mark.parametrize(
    "option", ["socket_timeout=1", "retry_on_timeout=yes", "protocol=2", "health_check_interval=1"]
)
def test_options_that_would_break_the_queue_are_refused(option: str) -> None:
    """Faults row 8: a socket timeout below the BLOCK of a read, or a retry of the library, cannot be asked for."""
    with pytest.raises(ValueError, match=f"no option '{option.partition('=')[0]}' here; there are db, username, pass"):
        parse_server_url(f"redis://h?{option}")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{CANARY}@h:1/0",
        f"redis://h?db=1&password={CANARY}",
        f"rediss+sentinel://u:{CANARY}@a:1,b:2/main/0?sentinel_password={CANARY}&ssl_password={CANARY}",
        f"not a url://x:{CANARY}@y",
        f"redis://u:{CANARY}@h/zero",
    ],
)
def test_no_secret_is_ever_shown(url: str) -> None:
    """Neither by what may be shown, nor by the parts' repr, nor by the message about a wrong one."""
    assert CANARY not in without_secrets(url)
    try:
        assert CANARY not in repr(parse_server_url(url))
        assert CANARY in parse_server_url(url).secrets
    except ValueError as exc:
        assert CANARY not in str(exc)  # noqa: PT017 - either outcome hides it


def test_a_secret_is_known_as_it_is_and_as_it_is_written() -> None:
    """A log may meet either."""
    url = "rediss+sentinel://u:a%20b@h/main?sentinel_password=c%2Fd&ssl_password=e"
    assert set(parse_server_url(url).secrets) == {"a b", "a%20b", "c/d", "c%2Fd", "e"}
    assert parse_server_url("redis://user@h").secrets == ()


def test_what_may_be_shown_names_the_place() -> None:
    """User and hosts stay: they are what one looks for."""
    assert without_secrets("redis+sentinel://u:p@a:1,b:2/main?sentinel_password=x") == (
        "redis+sentinel://u:***@a:1,b:2/main?sentinel_password=***"
    )
    assert without_secrets("redis://h:1/0") == "redis://h:1/0"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but ValueError comes out, for whatever stands in the environment."""
    for candidate in (text, f"redis://{text}", f"redis+sentinel://{text}/main", f"unix://{text}"):
        without_secrets(candidate)
        try:
            parse_server_url(candidate)
        except ValueError:
            continue
