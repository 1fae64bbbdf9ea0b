"""The vendor's client of the Gemini API, made when it is first used, and its errors made ours; for text and speech.

The one module that knows `google-genai` and the HTTP library below it. The client never tries again by itself, and
each way to fail is one of our errors, with the API key in none of them.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.gemini_errors import refusal, unreachable
from lib.errors import OverloadedError, TaskError
from lib.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from lib.jobqueue import Capability

DEFAULT_HOST: Final = "generativelanguage.googleapis.com"


_REPLIES: Final[ContextVar[list[Any] | None]] = ContextVar("gemini_replies", default=None)
"""Where the call that sends a request in this context wants the reply noted."""


class GeminiClient:
    """A client that is open: `models` is its asynchronous side, `types` its vocabulary, `errors` all it may raise."""

    def __init__(self, api_key: str, base_url: str, connect_seconds: float) -> None:
        import httpx2  # noqa: PLC0415 - half a second, for those who use Gemini alone
        from google import genai  # noqa: PLC0415
        from google.genai import errors, types  # noqa: PLC0415

        async def set_deadline(request: httpx2.Request) -> None:
            # The vendor's client hands on one figure for all phases; ours for the others are kept around it.
            request.extensions["timeout"] = {"connect": connect_seconds, "read": None, "write": None, "pool": None}

        self._redact = Redactor([api_key])
        self._host = base_url or DEFAULT_HOST
        self._refused = errors.APIError
        self._no_connection = (httpx2.ConnectError, httpx2.ConnectTimeout)
        self.errors = (errors.APIError, errors.UnknownApiResponseError, httpx2.HTTPError)
        self.types: Any = types
        verify = httpx2.create_ssl_context()
        # Given to the client lest it take another library that is installed, with which it does try again.
        hooks: Any = {"request": [set_deadline], "response": [_remember]}
        self._http = httpx2.AsyncClient(verify=verify, event_hooks=hooks)
        self._never_used = httpx2.Client(verify=verify)
        options = types.HttpOptions(
            base_url=base_url or None, httpx_client=self._never_used, httpx_async_client=self._http
        )
        self._client = genai.Client(api_key=api_key, vertexai=False, http_options=options)

    @property
    def models(self) -> Any:
        """`generate_content_stream`, `get` and the like, as coroutines."""
        return self._client.aio.models

    async def stream(self, model: str, contents: Any, config: Any) -> AsyncGenerator[Any, None]:
        """The chunks of an answer as the vendor has them; whoever leaves in the middle ends the call with it.

        Raises one of `errors`.
        """
        replies: list[Any] = []
        # The request is sent below before anything else can run in this context.
        _REPLIES.set(replies)
        chunks: Any = await self.models.generate_content_stream(model=model, contents=contents, config=config)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            # To close the vendor's generator closes no connection.
            for reply in replies:
                await reply.aclose()

    def error_of(
        self, error: Exception, *, model: str, now: datetime, capability: Capability = "text_model"
    ) -> TaskError:
        """What one of `errors` is."""
        if isinstance(error, self._refused):
            code = int(error.code or 500)
            details = self._redact.value(error.details)
            return refusal(code, details, model=model, now=now, capability=capability)
        why = self._redact(f"{type(error).__name__}: {error}")
        if isinstance(error, self._no_connection):
            return unreachable(self._host, why, capability)
        return OverloadedError(f"Gemini broke off its answer: {why}")

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aio.aclose()
        await self._http.aclose()
        self._never_used.close()


async def _remember(reply: Any) -> None:
    replies = _REPLIES.get()
    if replies is not None:
        replies.append(reply)


class LazyGeminiClient:
    """One client for all callers, made in a thread when the first one comes: leases do not have to wait for it."""

    def __init__(self, api_key: str, base_url: str, connect_seconds: float) -> None:
        self._words = (api_key, base_url, connect_seconds)
        self._made: GeminiClient | None = None
        self._making = asyncio.Lock()

    async def get(self) -> GeminiClient:
        """The client."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(GeminiClient, *self._words)
            return self._made

    async def aclose(self) -> None:
        """Close it, if there is one; the next `get` makes another. Repeatable."""
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()
