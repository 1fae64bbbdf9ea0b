"""Vast.ai as a market: its SDK, each call in a thread with a deadline, and each of its answers as one of ours.

The one module that knows `vastai`, an extra that takes half a second to import, so it is loaded with the first call.
The SDK's own retries are off, since they repeat a create whose reply was lost. The API key is in no error. It decides
nothing: who rents, and for how long, is known to `job_watcher.backends.vast`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lib.calling import install_extra
from lib.errors import SettingsError, UnreachableError
from lib.market.errors import BusyError, CreditError, KeyRefusedError, MarketError, UncertainError, UnknownListingError
from lib.market.limiter import Limiter, Urgency
from lib.market.vast_calls import CALL_SECONDS, PATIENCE_SECONDS, Calls, NonsenseError, nonsense, reply_of
from lib.market.vast_query import check_query, search_query
from lib.market.vast_refusals import Reply, SearchQuotaError, refusal, says_no_such_instance
from lib.market.vast_wire import Pages, money, number, offer_of, seen_of, whole
from lib.money import MICRO
from lib.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lib.clock import Clock
    from lib.market.base import HostWants, MarketOffer, RentOrder, Seen

SERVER: Final = "https://console.vast.ai"

MOST_OFFERS: Final = 64
"""The market shows no more, whatever one asks for."""

PAGE: Final = 25
"""Instances on a page of the list: the most that the market gives."""

KEY_TRIES: Final = 10
"""So often a public key is offered to an instance; whoever connects then finds that it does not let him in."""


class VastMarket:
    """An account at Vast.ai. `url` is another address of its API, `clock` measures waits; times are seconds.

    A new instance knows only the keys of the account. The one of its order is let in when `show` or `listed` first
    sees it, by its label: a create whose reply was lost has no other name. That an instance is gone is believed only
    when both the question for it and the list say so: either of them has been wrong alone.
    """

    def __init__(
        self,
        api_key: str,
        *,
        clock: Clock,
        url: str = "",
        limiter: Limiter | None = None,
        call_seconds: float = CALL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise SettingsError(
                "VAST_API_KEY is not set, or holds what no key has: a space, a line's end, a letter with an accent",
                hint="copy it again from the keys of your account at Vast.ai",
            )
        self._clock = clock
        self._calls = Calls(
            _maker(api_key, url.rstrip("/") or SERVER, call_seconds),
            limiter=limiter or Limiter(clock),
            clock=clock,
            redact=Redactor([api_key]),
            call_seconds=call_seconds,
            patience_seconds=patience_seconds,
        )
        self._searches_again_at = 0.0
        self._keys: dict[str, tuple[str, int]] = {}
        self._known: set[str] = set()

    @property
    def name(self) -> str:
        """`vast`."""
        return "vast"

    async def search(self, wants: HostWants) -> Sequence[MarketOffer]:
        """The best 64 by power for the price, of which those are left out that cost too much or are excluded.

        Raises:
            SettingsError: VAST_QUERY is not understood, or the extra is not installed.
            BusyError: also where the searches of the day are used up.
        """
        left = self._searches_again_at - self._clock.elapsed()
        if left > 0:
            raise SearchQuotaError("Vast.ai: the searches of the day are used up", after_seconds=left)

        def ask(sdk: Any) -> Any:
            _check(wants.query)
            return sdk.search_offers(
                query=search_query(wants),
                type="bid" if wants.interruptible else "on-demand",
                order="dlperf_usd-",
                limit=MOST_OFFERS,
                storage=wants.disk_gb,
            )

        try:
            rows = await self._calls.ask("to search", ask, Urgency.SEARCH)
        except SearchQuotaError as exc:
            self._searches_again_at = self._clock.elapsed() + exc.after_seconds
            raise
        if not isinstance(rows, list) or (rows and not any(isinstance(row, dict) and row.get("id") for row in rows)):
            raise nonsense("to search")
        offers = {offer.id: offer for row in rows if (offer := offer_of(row, interruptible=wants.interruptible))}
        return [offer for offer in offers.values() if _fits(offer, wants)]

    async def create(self, offer: MarketOffer, order: RentOrder) -> str:
        """Rent it, with ssh through the market's proxy; one try.

        Without room on the machine it is refused: the market would make a stopped instance instead, and charge for it.
        """
        if not offer.id.isdecimal():
            raise MarketError(f"{offer.id!r} is no offer of Vast.ai")
        what = f"to rent offer {offer.id}"

        def ask(sdk: Any) -> Any:
            return sdk.create_instance(
                id=int(offer.id),
                image=order.image,
                disk=order.disk_gb,
                env=dict(order.env),
                label=order.label,
                onstart_cmd=order.onstart or None,
                bid_price=None if order.bid is None else order.bid / MICRO,
                ssh=True,
                cancel_unavail=True,
            )

        self._keys[order.label] = (order.public_key, 0)
        try:
            made = self._made(await self._calls.create(what, ask, Urgency.CREATE), what)
        except (MarketError, UnreachableError) as exc:
            if not isinstance(exc, UncertainError):
                self._keys.pop(order.label, None)
            raise
        self._known.add(made)
        return made

    async def show(self, market_id: str) -> Seen | None:
        """How it is; None where the market says that there is none of that id, and its list agrees."""
        row = await self._row(market_id)
        seen = (await self._pages()).rows.get(market_id) if row is None else seen_of(row)
        if seen is None and row is None:
            self._known.discard(market_id)
            return None
        if seen is None or seen.market_id != market_id:
            raise nonsense(f"to show instance {market_id}")
        self._known.add(market_id)
        await self._let_in(seen)
        return seen

    async def listed(self) -> Sequence[Seen]:
        """All instances of the account. What was there before and is missing now is asked for by its id.

        Raises:
            UnknownListingError: as `lib.market.vast_wire.Pages` finds it, or what is missing is still there.
        """
        before = frozenset(self._known)
        rows = (await self._pages()).rows
        for market_id in sorted(before - rows.keys()):
            if await self._row(market_id) is not None:
                raise UnknownListingError(
                    f"Vast.ai's list of instances cannot be believed: {market_id} is not in it, and is there",
                    hint="nothing is concluded from it; it is asked again",
                )
            self._known.discard(market_id)
        self._known.update(rows)
        for seen in rows.values():
            await self._let_in(seen)
        return list(rows.values())

    async def destroy(self, market_id: str) -> bool:
        """Ask for its end, before whatever else waits to be asked."""
        number_of_it = _id(market_id)
        reply = await self._calls.ask(
            f"to destroy instance {market_id}", lambda sdk: _destroyed(sdk, number_of_it), Urgency.DESTROY
        )
        if isinstance(reply, Reply):
            raise refusal(reply, f"to destroy instance {market_id}", self._clock.now())
        return bool(reply)

    async def credit(self) -> int:
        """What the account has left, in millionths of a dollar; 0 where it owes."""
        reply = await self._calls.ask("to show the account", lambda sdk: sdk.show_user(), Urgency.LOOK)
        left = reply.get("credit") if isinstance(reply, dict) else None
        if isinstance(left, bool) or not isinstance(left, int | float):
            raise nonsense("to show the account")
        return money(left) if number(left) is not None else 0

    async def aclose(self) -> None:
        """Nothing is kept open between calls."""

    def _made(self, reply: Any, what: str) -> str:
        """The id in the reply to a create."""
        made = whole(reply.get("new_contract")) if isinstance(reply, dict) else None
        if made is not None and reply.get("success") is not False:
            return str(made)
        if made is None and isinstance(reply, dict) and reply.get("success") is False:
            parts = [reply.get(name) for name in ("error", "msg")]
            said = Reply(400, " ".join(part for part in parts if isinstance(part, str)))
            raise refusal(said, what, self._clock.now(), creating=True)
        raise UncertainError(
            f"Vast.ai was asked {what}, and its reply names no instance",
            hint="it may have been rented all the same: it is looked for by its label",
        )

    async def _row(self, market_id: str) -> Any:
        number_of_it = _id(market_id)
        return await self._calls.ask(f"to show instance {market_id}", lambda sdk: _row(sdk, number_of_it), Urgency.LOOK)

    async def _pages(self) -> Pages:
        """The whole list."""
        pages = Pages()
        token = pages.add(await self._page(None))
        while token is not None:
            token = pages.add(await self._page(token))
        return pages

    async def _page(self, token: str | None) -> Any:
        params: dict[str, Any] = {"select_filters": {}, "order_by": [{"col": "id", "dir": "asc"}], "limit": PAGE}
        if token is not None:
            params["after_token"] = token
        try:
            return await self._calls.ask(
                "to list the instances", lambda sdk: sdk.show_instances_v1(params), Urgency.LOOK
            )
        except (BusyError, CreditError, KeyRefusedError):
            raise
        except (MarketError, NonsenseError) as exc:
            raise UnknownListingError(
                f"Vast.ai's list of instances did not come: {exc}",
                hint=exc.hint or "nothing is concluded from it; it is asked again",
            ) from exc

    async def _let_in(self, seen: Seen) -> None:
        """Add the key of its order, if that is still to do; a failure is tried again when it is seen again."""
        key, tries = self._keys.pop(seen.label, ("", 0))
        if not key:
            return
        number_of_it = _id(seen.market_id)
        try:
            await self._calls.ask(
                f"to let a key into instance {seen.market_id}",
                lambda sdk: _let_in(sdk, number_of_it, key),
                Urgency.LOOK,
                again=False,
            )
        except (MarketError, UnreachableError):
            if tries + 1 < KEY_TRIES:
                self._keys[seen.label] = (key, tries + 1)


def _maker(api_key: str, url: str, call_seconds: float) -> Callable[[], Any]:
    def make() -> Any:
        try:
            from vastai import VastAI  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra, and half a second
        except ImportError as exc:
            raise SettingsError(
                f"VAST_API_KEY is set and vastai cannot be imported: {exc}",
                hint=f"{install_extra('vast')}, or unset VAST_API_KEY",
            ) from exc
        sdk = VastAI(api_key=api_key, server_url=url, retry=1)
        sdk.client.timeout = call_seconds
        return sdk

    return make


def _check(query: str) -> None:
    """In the thread: whether the vendor's parser understands VAST_QUERY."""
    from vastai.api.query import (  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
        offers_alias,
        offers_fields,
        offers_mult,
        parse_query,
    )

    fields = {*offers_fields, *offers_alias}
    check_query(query, fields)
    try:
        # Only what is known is left to it: of another field it prints a warning, wherever that goes.
        parse_query(query, {}, offers_fields, offers_alias, offers_mult)
    except ValueError as exc:
        check_query(query, fields, str(exc))


def _fits(offer: MarketOffer, wants: HostWants) -> bool:
    return (
        offer.machine_id not in wants.excluded
        and offer.hourly(wants.disk_gb) <= wants.max_dph
        and offer.disk_gb >= wants.disk_gb
    )


def _id(market_id: str) -> int:
    if not market_id.isdecimal():
        raise MarketError(f"{market_id!r} is no instance of Vast.ai")
    return int(market_id)


def _row(sdk: Any, number_of_it: int) -> Any:
    """In the thread: the row of an instance, None where there is none; the SDK's own fails before a bill begins."""
    response = sdk.client.get(f"/instances/{number_of_it}/", query_args={"owner": "me"})
    if says_no_such_instance(reply_of(response)):
        return None
    response.raise_for_status()
    document = response.json()
    row = document["instances"]
    if document.get("success") is False or (row is not None and not isinstance(row, dict)):
        raise TypeError("an instance is an object, and a question that failed proves nothing")
    return row


def _let_in(sdk: Any, number_of_it: int, key: str) -> None:
    """In the thread: add the key."""
    if sdk.attach_ssh(number_of_it, key).get("success") is False:
        raise ValueError("the key was not added")


def _destroyed(sdk: Any, number_of_it: int) -> Reply | bool:
    """In the thread: ask for the end; whether there was such an instance, or a refusal that came with a good status."""
    response = sdk.client.delete(f"/instances/{number_of_it}/", json_data={})
    reply = reply_of(response)
    if says_no_such_instance(reply):
        return False
    response.raise_for_status()
    if not reply.text:
        return True
    document = reply.document
    if not isinstance(document, dict):
        raise TypeError("somebody else has answered")
    return Reply(400, reply.text) if document.get("success") is False else True
