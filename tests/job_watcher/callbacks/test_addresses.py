"""Which addresses a callback may go to."""

from __future__ import annotations

import ipaddress

import pytest

from job_watcher.callbacks.addresses import is_public, permitted, resolve
from lib.errors import TemporaryError
from lib.jobqueue.callback_urls import parse_callback_url
from tests.job_watcher.callbacks.receiving import NAME, FlippingResolver

PUBLIC = (
    "8.8.8.8",
    "93.184.216.34",
    "1.1.1.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
)
PRIVATE = {
    "this machine": ("127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::"),  # noqa: S104 - judged, not bound
    "this network": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "fec0::1"),
    "this link": ("169.254.1.1", "fe80::1", "fe80::1%1"),
    "a cloud's metadata": ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "192.0.0.192", "100.100.100.200"),
    "a provider's network": ("100.64.0.1", "198.18.0.1"),
    "everybody": ("224.0.0.1", "239.1.1.1", "255.255.255.255", "ff02::1", "ff0e::1"),
    "nobody": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "2001:db8::1", "3fff::1", "100::1"),
    "an IPv4 address inside": (
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "::10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1", "2001:0:1::1"),
    ),
}


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_open_internet_is_public(text: str) -> None:
    """Also through a translator that this machine's network may have."""
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in PRIVATE.items() for text in texts])
def test_any_other_is_not(kind: str, text: str) -> None:
    """Faults row 50: whatever reaches this machine, its network, its cloud, or nobody."""
    assert not is_public(ipaddress.ip_address(text)), kind


async def test_a_private_address_has_to_be_listed_itself() -> None:
    """A name that is listed reaches public addresses; an internal one needs its address too, and the error says how."""
    url = parse_callback_url(f"http://{NAME}:8080/x")
    for hosts in ((f"{NAME}:8080",), (f"{NAME}:8080", "10.0.0.6:8080"), (f"{NAME}:8080", "10.0.0.5:80", "10.0.0.5")):
        with pytest.raises(TemporaryError, match=r"is 10\.0\.0\.5, no public address") as raised:
            await permitted(url, hosts, FlippingResolver(["10.0.0.5"]))
        assert "'10.0.0.5:8080'" in str(raised.value.hint)
    found = await permitted(url, (f"{NAME}:8080", "10.0.0.5:8080"), FlippingResolver(["10.0.0.6", "10.0.0.5"]))
    assert [str(each) for each in found] == ["10.0.0.5"]


async def test_the_public_ones_among_many_are_taken_in_order() -> None:
    """What is not allowed is passed over, not connected to."""
    url = parse_callback_url(f"https://{NAME}/")
    found = await permitted(url, (NAME,), FlippingResolver(["10.0.0.5", "2606:4700::1", "::1", "8.8.8.8"]))
    assert [str(each) for each in found] == ["2606:4700::1", "8.8.8.8"]


async def test_an_address_in_the_url_is_judged_like_a_name() -> None:
    """Listed as it stands it is a wish; written another way it is not what was listed."""
    for text, hosts in (("127.0.0.1", ("127.0.0.1:80",)), ("2130706433", ("2130706433:80", "127.0.0.1:80"))):
        assert await permitted(parse_callback_url(f"http://{text}/"), hosts, resolve)
    with pytest.raises(TemporaryError, match="no public address"):
        await permitted(parse_callback_url("http://2130706433/"), ("2130706433:80",), resolve)


async def test_a_name_without_an_address_may_have_one_later() -> None:
    """Said with the place, not with the path."""
    url = parse_callback_url("https://nowhere.invalid/token")
    for resolver in (FlippingResolver([]), FlippingResolver(["no address"])):
        with pytest.raises(TemporaryError, match=r"^https://nowhere\.invalid.*(address|nothing)") as raised:
            await permitted(url, (), resolver)
        assert "token" not in raised.value.message


async def test_the_machines_own_resolver_is_asked() -> None:
    """Each address once, whatever kinds of socket it could serve."""
    found = await resolve("127.0.0.1", 80)
    assert found == ["127.0.0.1"]
    assert set(await resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
