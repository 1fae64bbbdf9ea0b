"""One try to deliver a callback: a POST to the address that was checked, and what its answer means.

It never follows a redirect, never asks a proxy, keeps no connection, and reads nothing of the answer but its status:
what the far side can do is be slow, for as long as the deadlines let it. The one module that imports httpx; a watcher
loads it only where callbacks are set up.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from job_watcher.callbacks.addresses import permitted, resolve
from job_watcher.callbacks.signing import IDEMPOTENCY_HEADER, SIGNATURE_HEADER, idempotency_key, signature
from lib.errors import PermanentError, TemporaryError
from lib.jobqueue.callback_urls import is_allowed, parse_callback_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Sequence

    from job_watcher.callbacks.addresses import Address, Resolver
    from lib.clock import Clock
    from lib.jobqueue.callback_urls import CallbackUrl
    from lib.jobqueue.outbox import Callback

ADDRESSES_MAX: Final = 3
"""How many of a host's addresses are tried; the first may belong to a network that this machine cannot reach."""

_GONE: Final = 410
_SHOWN_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each part of a try; `total` bounds the resolver too, and stays well below the hold of a taken one."""

    connect: float = 5.0
    read: float = 10.0
    total: float = 15.0


def trust() -> ssl.SSLContext:
    """Whom to trust for https: the bundled authorities, and those that this machine was told to trust."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


class CallbackSender:
    """Sends callbacks; `hosts` is CALLBACK_ALLOWED_HOSTS as this watcher knows it."""

    def __init__(
        self,
        secret: str,
        hosts: Collection[str],
        *,
        version: str,
        clock: Clock,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._secret = secret
        self._hosts = frozenset(hosts)
        self._clock = clock
        self._resolver = resolver
        self._deadlines = deadlines or Deadlines()
        self._agent = f"job-runner/{version}"
        # It logs whole URLs, and a query may hold a token.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        timeout = httpx.Timeout(self._deadlines.read, connect=self._deadlines.connect)
        # No connection is kept: two names at one address must not share one that was proven for the first.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            verify=tls or trust(), trust_env=False, follow_redirects=False, timeout=timeout, limits=limits
        )

    async def aclose(self) -> None:
        """Release what it holds."""
        await self._client.aclose()

    async def deliver(self, callback: Callback) -> None:
        """Tell the far side, once.

        Raises:
            TemporaryError: it did not take it, or may not be told now.
            PermanentError: it never will: it said 410 Gone, or the URL is none.

        """
        try:
            url = parse_callback_url(callback.url)
        except ValueError as exc:
            raise PermanentError(f"callback_url {exc}") from exc
        if not is_allowed(self._hosts, url):
            raise TemporaryError(f"{url.place} is not in CALLBACK_ALLOWED_HOSTS any more")
        try:
            async with asyncio.timeout(self._deadlines.total):
                addresses = await permitted(url, self._hosts, self._resolver)
                status = await self._post(url, addresses[:ADDRESSES_MAX], callback)
        except TimeoutError as exc:
            raise TemporaryError(f"{url.place} did not answer within {self._deadlines.total:g} s") from exc
        if status == _GONE:
            raise PermanentError(f"{url.place} answered 410 Gone")
        if not httpx.codes.is_success(status):
            redirect = ", and redirects are not followed" if httpx.codes.is_redirect(status) else ""
            raise TemporaryError(f"{url.place} answered {status}{redirect}")

    async def _post(self, url: CallbackUrl, addresses: Sequence[Address], callback: Callback) -> int:
        trouble: httpx.HTTPError | None = None
        for address in addresses:
            try:
                return await self._send(url, address, callback)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                trouble = exc
            except httpx.HTTPError as exc:
                raise TemporaryError(f"{url.place}: {_said(exc)}") from exc
        assert trouble is not None  # noqa: S101 - there is at least one address
        raise TemporaryError(f"{url.place}: {_said(trouble)}") from trouble

    async def _send(self, url: CallbackUrl, address: Address, callback: Callback) -> int:
        """The status of the answer; the connection goes to `address`, whatever the name stands for by now."""
        place = httpx.URL(scheme=url.scheme, host=str(address), port=url.port, raw_path=url.path.encode("ascii"))
        headers = {
            "Host": url.authority,
            "User-Agent": self._agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Type": "application/json",
            IDEMPOTENCY_HEADER: idempotency_key(callback),
            SIGNATURE_HEADER: signature(self._secret, callback.record, int(self._clock.now().timestamp())),
        }
        request = self._client.build_request(
            "POST", place, content=callback.record, headers=headers, extensions={"sni_hostname": url.host}
        )
        answer = await self._client.send(request, stream=True)
        try:
            return answer.status_code
        finally:
            await answer.aclose()


def _said(error: httpx.HTTPError) -> str:
    """The far side's part in it is bounded and printable."""
    text = "".join(each for each in str(error) if each.isprintable())[:_SHOWN_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
