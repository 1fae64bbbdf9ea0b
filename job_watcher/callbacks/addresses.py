"""Which addresses a callback may be sent to: a name is resolved once, here, and what was judged is connected to.

A name on the allow-list belongs to somebody else's DNS, who may point it at a machine of ours. So a name only reaches
public addresses, unless the list also holds the very address it has.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from lib.errors import TemporaryError
from lib.jobqueue.callback_urls import CallbackUrl, entry_for, is_allowed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    Resolver = Callable[[str, int], Awaitable[list[str]]]
    """(host, port) -> addresses, best first; OSError when there are none."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What Python counts as global, although it answers inside a provider's or a local network.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata service is in it
        "168.63.129.16/32",  # a cloud's own services, on every machine there
        "2002::/16",  # 6to4: any IPv4 address inside
        "3fff::/20",  # documentation
    )
)
_PUBLIC_IPV6: Final = ipaddress.ip_network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, also where it is an IPv4 address inside an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _PUBLIC_IPV6:
            return False
    inside = any(address.version == network.version and address in network for network in _NOT_PUBLIC)
    return address.is_global and not address.is_multicast and not address.is_reserved and not inside


async def resolve(host: str, port: int) -> list[str]:
    """The addresses that this machine's resolver names, best first; OSError when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def permitted(url: CallbackUrl, hosts: Collection[str], resolver: Resolver) -> list[Address]:
    """The addresses of a URL's host to which it may be sent, best first, at least one.

    Raises:
        TemporaryError: there is none; it says which are not allowed, and what to write where one should be.

    """
    try:
        named = [ipaddress.ip_address(text) for text in await resolver(url.host, url.port)]
    except (OSError, ValueError) as exc:
        raise TemporaryError(f"{url.place}: its name has no address: {exc}") from exc
    allowed = [each for each in named if is_public(each) or is_allowed(hosts, url, host=str(each))]
    if not allowed:
        found = ", ".join(map(str, named)) or "nothing"
        entry = entry_for(str(named[0]), url.port, scheme=url.scheme) if named else url.host
        raise TemporaryError(
            f"{url.place} is {found}, no public address",
            hint=f"if callbacks should go there, add {entry!r} to CALLBACK_ALLOWED_HOSTS too",
        )
    return allowed
