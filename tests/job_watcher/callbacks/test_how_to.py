"""The how-to page: what it tells people to do is what works."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from job_watcher.callbacks.delivery import CallbackSender, Deadlines
from job_watcher.callbacks.signing import signature
from job_watcher.retrying import RetryPolicy
from lib.clock import SystemClock
from lib.jobqueue.callback_urls import MAX_URL_CHARACTERS, callback_url_problem
from lib.settings import Settings
from tests.job_watcher.callbacks.receiving import SECRET, callback, receiving
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = (ROOT / "docs" / "how-to" / "callbacks.md").read_text()


@pytest.fixture
def is_genuine() -> Callable[..., bool]:
    """The page's own example, run as it stands."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Callable[..., bool]] = {}
    exec(code, names)  # noqa: S102 - the page is ours
    return names["is_genuine"]


async def test_the_example_knows_a_genuine_callback(is_genuine: Callable[..., bool]) -> None:
    """As it came over the wire, and no other: not another body, secret or time, and no nonsense."""
    async with receiving() as receiver:
        callback_sender = CallbackSender(SECRET, (receiver.place,), version="0", clock=SystemClock())
        await callback_sender.deliver(callback(receiver.url()))
        await callback_sender.aclose()
        (request,) = receiver.requests
    header = request.headers["x-job-runner-signature"]
    assert is_genuine(SECRET, header, request.body)
    assert not is_genuine(SECRET, header, request.body + b" ")
    assert not is_genuine("another secret of sixteen", header, request.body)
    assert not is_genuine(SECRET, header.replace("t=", "t=1"), request.body)
    assert not is_genuine(SECRET, signature(SECRET, request.body, int(time.time()) - 3600), request.body)
    for nonsense in ("", "t=,v1=", "t=1", "v1=x", ",,=", "t=ü,v1=ü", f"t={int(time.time())},v1=ü"):
        assert not is_genuine(SECRET, nonsense, request.body)


def test_the_settings_of_the_page_allow_its_urls() -> None:
    """They are read as shown, and the example's job is accepted."""
    (hosts,) = re.findall(r"CALLBACK_ALLOWED_HOSTS=(\S+)", PAGE)
    settings = Settings.load({"CALLBACK_SECRET": SECRET, "CALLBACK_ALLOWED_HOSTS": hosts})
    (url,) = re.findall(r"callback_url: (\S+)", PAGE)
    for allowed in (url, "http://build.internal:8080/x"):
        assert callback_url_problem(allowed, settings.callback_allowed_hosts) is None
    assert str(MAX_URL_CHARACTERS) in PAGE


def test_the_times_of_the_page_are_those_of_the_code() -> None:
    """Delays and deadlines are written down once more there."""
    assert RetryPolicy(1).error_delays == (30.0, 120.0, 600.0)
    assert "after 30 s, 2 min and 10 min" in PAGE
    assert f"within {Deadlines().read:g} seconds" in PAGE
