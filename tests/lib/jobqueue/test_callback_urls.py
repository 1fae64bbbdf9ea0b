"""Reading a callback_url and CALLBACK_ALLOWED_HOSTS."""

from __future__ import annotations

import string
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue.callback_urls import MAX_URL_CHARACTERS, callback_url_problem, is_allowed, parse_callback_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://example.com", ("https", "example.com", 443, "/", "example.com")),
        ("HTTPS://Example.COM/Done?x=%20#".rstrip("#"), ("https", "example.com", 443, "/Done?x=%20", "example.com")),
        ("http://example.com:8080?x=1", ("http", "example.com", 8080, "/?x=1", "example.com:8080")),
        ("https://example.com:443/", ("https", "example.com", 443, "/", "example.com")),
        ("http://10.0.0.5:80/a", ("http", "10.0.0.5", 80, "/a", "10.0.0.5")),
        ("http://[::1]:8080/", ("http", "::1", 8080, "/", "[::1]:8080")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[str, str, int, str, str]) -> None:
    """What is sent as Host names the port only where it is not the scheme's own."""
    found = parse_callback_url(url)
    assert (found.scheme, found.host, found.port, found.path, found.authority) == parts


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://user@example.com/", "user name"),
        ("https://user:canary@example.com/", "password"),
        ("https://example.com@evil.com/", "user name"),
        ("https://example.com\\@evil.com/", "user name"),
        ("https://example.com/#canary", "fragment"),
        ("https://example.com/" + "x" * MAX_URL_CHARACTERS, "characters long"),
        ("https://example.com:0/", "no port 0"),
        ("https://example.com:65536/", "no port 65536"),
        ("https://example.com:/", "http or https"),
        ("https://[::1/", "is no URL"),
        *(
            (url, "http or https")
            for url in (
                *("", "/done", "//example.com/", "ftp://example.com/", "javascript:alert(1)", "file:///etc/passwd"),
                *("https:///x", "https://", "http:example.com", "https://exam ple.com/", "https://example.com/a b"),
                *(
                    "https://example.com/ü",
                    "https://bücher.example/",
                    "https://example.com\\evil.com/",
                    "https://e%2ecom/",
                ),
                *("https://-example.com/", "https://example.com./", "https://example.com/\r\nX: y", "https://a/\x00"),
                *(" https://example.com/", "https://example.com/\n", "https://exa\tmple.com/", "https://[::1]evil/"),
            )
        ),
    ],
)
def test_what_could_be_read_two_ways_is_refused(url: str, words: str) -> None:
    """And nothing of it is shown: it may hold a secret."""
    said = callback_url_problem(url, {"example.com", "evil.com"})
    assert said is not None
    assert words in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://example.com/", ("example.com",), True),
        ("https://example.com/", ("Example.COM",), True),
        ("https://example.com/", ("example.com:443",), True),
        ("https://example.com:8443/", ("example.com",), False),
        ("https://example.com:8443/", ("example.com:8443",), True),
        ("http://example.com/", ("example.com",), False),
        ("http://example.com/", ("example.com:80",), True),
        ("http://example.com:8080/", ("example.com:8080",), True),
        ("https://sub.example.com/", ("example.com",), False),
        ("https://example.com.evil.com/", ("example.com",), False),
        ("https://example.com/", (), False),
        ("http://[fd00::1]:80/", ("[fd00::1]:80",), True),
    ],
)
def test_a_host_alone_means_https(url: str, hosts: tuple[str, ...], *, allowed: bool) -> None:
    """Another port, and http with its open text, have to be written out; names are compared whole."""
    said = callback_url_problem(url, hosts)
    assert (said is None) == allowed
    assert is_allowed(hosts, parse_callback_url(url)) == allowed


def test_the_error_names_the_entry_that_is_missing() -> None:
    """And what it says makes it pass; the path is not shown."""
    for url in ("https://a.example/canary", "https://a.example:1/canary", "http://a.example/canary"):
        said = callback_url_problem(url, ())
        assert said is not None
        assert "canary" not in said
        entry = said.partition("add '")[2].partition("'")[0]
        assert callback_url_problem(url, (entry,)) is None


@given(st.text(alphabet=string.printable + "ü\x00", max_size=40), st.sampled_from(["https://", "http://", ""]))
def test_what_is_taken_is_read_alike_by_others(text: str, scheme: str) -> None:
    """The host that was judged is the host that any reader of URLs sees."""
    try:
        found = parse_callback_url(scheme + text)
    except ValueError:
        return
    other = urlsplit(scheme + text)
    assert (other.scheme, other.hostname, other.username) == (found.scheme, found.host, None)
    assert (other.port or found.port) == found.port
