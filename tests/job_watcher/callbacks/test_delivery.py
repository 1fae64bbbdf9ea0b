"""One try: what is sent, what an answer means, and that it goes nowhere but to the address that was checked."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from job_watcher.callbacks.delivery import CallbackSender, Deadlines
from lib.clock import SystemClock
from lib.errors import PermanentError, TemporaryError
from tests.job_watcher.callbacks.receiving import NAME, SECRET, FlippingResolver, Receiver, callback, receiving
from tests.support.hand_clock import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Make = Callable[..., Awaitable[CallbackSender]]


@pytest.fixture
async def callback_sender() -> AsyncIterator[Make]:
    """Makes senders, closed at the end."""
    made: list[CallbackSender] = []

    async def make(*hosts: str, **more: Any) -> CallbackSender:
        made.append(CallbackSender(SECRET, hosts, version="1.2", **{"clock": SystemClock(), **more}))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


async def test_the_record_is_posted_as_it_is(callback_sender: Make) -> None:
    """Byte for byte, with what the far side needs to judge it; to the URL's path and query."""
    async with receiving() as receiver:
        told = callback(receiver.url("/done?x=%20&y"))
        await (await callback_sender(receiver.place)).deliver(told)
        (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/done?x=%20&y", told.record)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == receiver.place
    assert request.headers["user-agent"] == "job-runner/1.2"
    assert request.record["callback_data"] == {"n": [1, {}, "ü"]}


async def test_the_signature_is_an_hmac_of_the_time_and_the_body(callback_sender: Make) -> None:
    """Checked by another implementation; a try at another time has another one, over the same body."""
    clock = HandClock()
    async with receiving() as receiver:
        sender = await callback_sender(receiver.place, clock=clock)
        await sender.deliver(callback(receiver.url()))
        await clock.move(60)
        await sender.deliver(callback(receiver.url(), tries=1))
        first, second = receiver.requests
    times = []
    for request in (first, second):
        moment, _, digest = request.headers["x-job-runner-signature"].partition(",v1=")
        mac = hmac.HMAC(SECRET.encode(), hashes.SHA256())
        mac.update(moment.removeprefix("t=").encode() + b"." + request.body)
        mac.verify(bytes.fromhex(digest))
        times.append(int(moment.removeprefix("t=")))
    assert times[1] - times[0] == 60
    assert first.body == second.body


async def test_the_idempotency_key_names_this_end_of_this_job(callback_sender: Make) -> None:
    """The same for every try of one end, another for another job, generation or fence."""
    async with receiving() as receiver:
        sender = await callback_sender(receiver.place)
        url = receiver.url()
        for told in (callback(url), callback(url, tries=3), callback(url, request_id="b")):
            await sender.deliver(told)
        keys = [request.headers["idempotency-key"] for request in receiver.requests]
    assert keys[0] == keys[1] == hashlib.sha256(b"a\0007\0009").hexdigest()[:32]
    assert keys[2] != keys[0]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_delivered(callback_sender: Make, status: int) -> None:
    """The far side has it."""
    async with receiving(Receiver(usual=status)) as receiver:
        await (await callback_sender(receiver.place)).deliver(callback(receiver.url()))


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_any_other_answer_is_tried_again(callback_sender: Make, status: int) -> None:
    """A deployment may answer 404 for a minute; the message names the place and the status."""
    async with receiving(Receiver(usual=status)) as receiver:
        with pytest.raises(TemporaryError, match=f"^http://{receiver.place} answered {status}$"):
            await (await callback_sender(receiver.place)).deliver(callback(receiver.url("/secret")))


async def test_410_is_for_good(callback_sender: Make) -> None:
    """The far side says that nobody listens there any more."""
    async with receiving(Receiver(usual=410)) as receiver:
        with pytest.raises(PermanentError, match="410 Gone"):
            await (await callback_sender(receiver.place)).deliver(callback(receiver.url()))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(callback_sender: Make, status: int) -> None:
    """Faults row 50: an allowed host must not send us elsewhere, not even to itself."""
    async with receiving() as trap, receiving(Receiver(usual=status)) as receiver:
        receiver.headers = f"Location: {trap.url()}\r\n"
        with pytest.raises(TemporaryError, match=f"answered {status}, and redirects are not followed"):
            await (await callback_sender(receiver.place, trap.place)).deliver(callback(receiver.url()))
        assert (len(receiver.requests), trap.connections) == (1, 0)


async def test_the_list_is_asked_again_at_delivery(callback_sender: Make) -> None:
    """It may have changed since the submit, and this watcher's is the one that counts."""
    async with receiving() as receiver:
        for hosts in ((), ("example.org",), ("127.0.0.1",), (f"127.0.0.1:{receiver.port + 1}",)):
            with pytest.raises(TemporaryError, match="not in CALLBACK_ALLOWED_HOSTS any more"):
                await (await callback_sender(*hosts)).deliver(callback(receiver.url()))
        assert receiver.connections == 0


async def test_a_url_that_is_none_is_for_good(callback_sender: Make) -> None:
    """Somebody wrote it into the queue by hand."""
    for url in ("", "x", "http://u:p@127.0.0.1/", "gopher://127.0.0.1/", "http://127.0.0.1:99999/"):
        with pytest.raises(PermanentError, match="callback_url"):
            await (await callback_sender("127.0.0.1:80")).deliver(callback(url))


async def test_a_name_is_resolved_once_and_the_connection_pinned(callback_sender: Make) -> None:
    """Faults row 50, rebinding: the second answer, another machine of ours, is never asked for and never reached."""
    async with receiving() as receiver, receiving(host="127.0.0.2", port=receiver.port) as trap:
        resolver = FlippingResolver(["127.0.0.1"], ["127.0.0.2"])
        sender = await callback_sender(f"{NAME}:{receiver.port}", receiver.place, resolver=resolver)
        await sender.deliver(callback(f"http://{NAME}:{receiver.port}/done"))
        assert (receiver.requests[0].headers["host"], resolver.asked) == (f"{NAME}:{receiver.port}", [NAME])
        with pytest.raises(TemporaryError, match=r"is 127\.0\.0\.2, no public address"):
            await sender.deliver(callback(f"http://{NAME}:{receiver.port}/done", tries=1))
        assert (receiver.connections, trap.connections) == (1, 0)


async def test_a_public_answer_first_and_a_private_one_second(callback_sender: Make) -> None:
    """The usual trick: judged by the first, connected by the second. Only the public one is connected to.

    The network of the tests refuses it, which shows where the connection went.
    """
    async with receiving() as trap:
        resolver = FlippingResolver(["93.184.216.34"], ["127.0.0.1"])
        with pytest.raises(TemporaryError, match=f"http://{NAME}:{trap.port}: ConnectError"):
            await (await callback_sender(f"{NAME}:{trap.port}", resolver=resolver)).deliver(
                callback(f"http://{NAME}:{trap.port}/")
            )
        assert (resolver.asked, trap.connections) == ([NAME], 0)


async def test_the_next_address_is_tried_where_the_first_takes_no_connection(callback_sender: Make) -> None:
    """As with a name that has an IPv6 address beside its IPv4 one; what is not allowed among them is passed over."""
    async with receiving() as receiver:
        resolver = FlippingResolver(["10.0.0.1", "127.0.0.3", "127.0.0.1"])
        places = (f"{NAME}:{receiver.port}", receiver.place, f"127.0.0.3:{receiver.port}")
        sender = await callback_sender(*places, resolver=resolver)
        await sender.deliver(callback(f"http://{NAME}:{receiver.port}/"))
        assert len(receiver.requests) == 1


async def test_a_proxy_of_the_environment_is_not_asked(callback_sender: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name again, and see the record."""
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.place}")
        await (await callback_sender(receiver.place)).deliver(callback(receiver.url()))
        assert (proxy.connections, len(receiver.requests)) == (0, 1)


async def test_a_host_that_never_answers_costs_a_bounded_time(callback_sender: Make) -> None:
    """A total deadline over everything, and one for the answer to begin."""
    async with receiving(Receiver(usual=0)) as receiver:
        for deadlines, words in ((Deadlines(total=0.2), "within 0.2 s"), (Deadlines(read=0.2), "ReadTimeout")):
            with pytest.raises(TemporaryError, match=words):
                await (await callback_sender(receiver.place, deadlines=deadlines)).deliver(callback(receiver.url()))


async def test_a_resolver_that_hangs_or_fails(callback_sender: Make) -> None:
    """Bounded by the same deadline; a name without an address may have one later."""

    async def hangs(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError(host, port)

    async def fails(host: str, port: int) -> list[str]:
        raise OSError(f"no address for {host}, {port}")

    for resolver, words in ((hangs, "within 0.1 s"), (fails, "no address")):
        sender = await callback_sender(NAME, resolver=resolver, deadlines=Deadlines(total=0.1))
        with pytest.raises(TemporaryError, match=words):
            await sender.deliver(callback(f"https://{NAME}/"))


async def test_an_answer_that_never_ends_is_not_read(callback_sender: Make) -> None:
    """The status is all that counts: a body without end costs nothing."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    place = "127.0.0.1:" + str(server.sockets[0].getsockname()[1])
    await (await callback_sender(place)).deliver(callback(f"http://{place}/"))
    server.close()
    await server.wait_closed()


async def test_nonsense_for_an_answer_is_tried_again(callback_sender: Make) -> None:
    """What it said is not repeated at length."""

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x1b[31m" + b"A" * 5_000 + b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    place = "127.0.0.1:" + str(server.sockets[0].getsockname()[1])
    with pytest.raises(TemporaryError) as raised:
        await (await callback_sender(place)).deliver(callback(f"http://{place}/"))
    assert len(raised.value.message) < 400
    assert raised.value.message.isprintable()
    server.close()
    await server.wait_closed()


async def test_no_token_of_a_url_and_no_secret_reaches_a_log(
    callback_sender: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Libraries log whole URLs; a path or a query is often the key to what stands behind it."""
    caplog.set_level(logging.DEBUG)
    said = []
    async with receiving(Receiver(usual=500)) as receiver:
        sender = await callback_sender(receiver.place)
        for _ in range(2):
            with pytest.raises(TemporaryError) as raised:
                await sender.deliver(callback(receiver.url("/canary1?token=canary2")))
            said.append(str(raised.value))
    said += [record.getMessage() for record in caplog.records]
    assert not [text for text in said if "canary" in text or SECRET in text]


async def test_an_ipv6_address_is_connected_to(callback_sender: Make) -> None:
    """A name may have nothing else; its header Host stays the name."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as exc:
        pytest.skip(f"this machine has no IPv6: {exc}")
    async with receiving(host="::1") as receiver:
        sender = await callback_sender(
            f"{NAME}:{receiver.port}", f"[::1]:{receiver.port}", resolver=FlippingResolver(["::1"])
        )
        await sender.deliver(callback(f"http://{NAME}:{receiver.port}/"))
        await sender.deliver(callback(f"http://[::1]:{receiver.port}/"))
        hosts = [request.headers["host"] for request in receiver.requests]
    assert hosts == [f"{NAME}:{receiver.port}", f"[::1]:{receiver.port}"]
