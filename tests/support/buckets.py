"""An S3 server for tests, and a proxy before it that fails as a real one does.

The server is moto in a thread of this process: one for all tests of a run, a bucket for each test. It takes any
signature; what a forged one meets is tested against `SigningServer`, a process. The proxy speaks plain HTTP and breaks
what its rules name, each a number of times. Knows nothing of our store.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import logging
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self

import boto3
from botocore.config import Config

from tests.support.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

ACCESS_KEY = "AKIDOFATEST"
SECRET_KEY = "a-canary-secret-key"  # noqa: S105 - opens nothing but servers of tests

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""The environment of a program that uses these servers, and nothing of this machine's own accounts."""

Fault = Literal["503", "slow_down", "expired", "denied", "drop_request", "drop_reply", "cut_reply", "corrupt", "hold"]

_NUMBERS = itertools.count(1)


def client_of(url: str, secret_key: str = SECRET_KEY) -> Any:
    """The vendor's own client, to look at what is there."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            response_checksum_validation="when_required",
        ),
    )


class BucketServer:
    """moto on a private port."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - a second to import, for tests with buckets alone

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.port = port
        self.url = f"http://{host}:{port}"
        self.client = client_of(self.url)

    def new_bucket(self) -> str:
        """An empty bucket that no other test has."""
        name = f"bucket-{next(_NUMBERS)}"
        self.client.create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Every object below a prefix with its bytes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key: self.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def half_sent(self, bucket: str) -> list[str]:
        """The keys of uploads that are not complete."""
        return [each["Key"] for each in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]

    def close(self) -> None:
        """End it."""
        self.client.close()
        self._server.stop()


class SigningServer:
    """nanio, which refuses a signature that is not right; a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (directory / "nanio.log").open("wb")
        words = ["serve", "--data-dir", str(directory), "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nanio", *words],
            env={"PATH": os.environ["PATH"], "NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": SECRET_KEY},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def answers(self) -> bool:
        """Whether it is up."""
        assert self._process.poll() is None, "nanio has ended"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(20)
        self._log.close()


@dataclass(eq=False)
class Rule:
    """Break requests of this method whose path contains `text`: `times` of them, after `skip`."""

    method: str
    text: str
    fault: Fault
    times: int = 1
    skip: int = 0
    met: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class _QuietServer(ThreadingHTTPServer):
    """Says nothing when a client hangs up."""

    def handle_error(self, *_: object) -> None:
        """Tests see what the client saw."""


class BrokenRoad:
    """An HTTP proxy on a private port; use with `with`.

    moto says that every upload began in 2010; here it began just now.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.rules: list[Rule] = []
        self.seen: list[str] = []
        self._guard = threading.Lock()
        road = self

        class Handler(_Handler):
            broken = road

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for rule in self.rules:
            rule.release.set()
        self._server.shutdown()
        self._server.server_close()

    def breaks(self, method: str, text: str, fault: Fault, *, times: int = 1, skip: int = 0) -> Rule:
        """Add a rule."""
        rule = Rule(method, text, fault, times, skip)
        self.rules.append(rule)
        return rule

    def rule_for(self, method: str, path: str) -> Rule | None:
        """The rule that this request meets; it is used up by that."""
        with self._guard:
            self.seen.append(f"{method} {path}")
            for rule in self.rules:
                if rule.method == method and rule.text in path:
                    rule.met += 1
                    if rule.skip < rule.met <= rule.skip + rule.times:
                        return rule
        return None


class _Handler(BaseHTTPRequestHandler):
    """One request there and back."""

    broken: BrokenRoad
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _carry(self) -> None:
        rule = self.broken.rule_for(self.command, self.path)
        fault = None if rule is None else rule.fault
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if rule is not None:
            rule.reached.set()
            if fault == "hold":
                rule.release.wait(60)
        if fault == "drop_request":
            self._hang_up()
        elif fault in {"503", "slow_down", "expired", "denied"}:
            self._refuse(str(fault))
        else:
            self._forward(body[:-1] + b"?" if fault == "corrupt" and self.command == "PUT" else body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _carry  # noqa: N815 - the library's names

    def _forward(self, body: bytes, fault: str | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.broken.target_port, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if fault == "drop_reply":
            self._hang_up()
            return
        now = time.strftime("<Initiated>%Y-%m-%dT%H:%M:%S.000Z<", time.gmtime()).encode()
        content = re.sub(rb"<Initiated>[^<]*<", now, content)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"} or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "cut_reply":
            self.wfile.write(content[: len(content) // 2])
            self._hang_up()
        elif self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, fault: str) -> None:
        status, code = {
            "503": (503, "ServiceUnavailable"),
            "slow_down": (503, "SlowDown"),
            "expired": (400, "ExpiredToken"),
            "denied": (403, "AccessDenied"),
        }[fault]
        content = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(2)
