"""Keeps secrets out of whatever is written, by their value: what they are, and how they are blackened.

By value and not by name, because a library's message or a task's exception may hold a password anywhere. It knows
what this process could have got hold of: the environment, the command line, and the files that the AWS libraries
read. Used by the logs, the command lines and the watcher's records. It looks at text only and never at output files.

Limits: a value of fewer than 4 characters is not looked for, since it would blacken half of every line; nor is a
secret that somebody writes in another encoding (base64, hex). What a job itself says (its payload, its
`callback_data`) is kept as it was sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, cast
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

BLACKENED: Final = "***"
LEAST_CHARACTERS: Final = 4

_SECRET_NAME: Final = re.compile(r"(?i)(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|PRIVATE_KEY)$")
_IN_URL: Final = re.compile(r"://[^\s/@?#]*?:([^\s/@]+)@")
_IN_SERVER_URL: Final = re.compile(r"(?i)^(?:rediss?|unix)(?:\+sentinel)?://[^\s?:]*:([^\s?]+)@")
"""Greedy: a password with a slash in it makes a wrong URL, whose error message must not show it."""
_IN_QUERY: Final = re.compile(r"(?i)[?&][\w-]*(?:password|passwd|secret|token|signature|api_?key)=([^&\s#]+)")
_AWS_LINE: Final = re.compile(r"(?im)^\s*(?:aws_secret_access_key|aws_session_token)\s*=\s*(\S+)")


def process_secrets(environ: Mapping[str, str], argv: Sequence[str] = ()) -> frozenset[str]:
    """Everything secret that a process with this environment and command line knows of.

    A variable is secret by the end of its name (`…_SECRET`, `…_TOKEN`, `…PASSWORD`, `…_API_KEY`); in any
    variable and any word of the command line, so is what stands in a URL as a password or signature.
    """
    found = {value.strip() for name, value in environ.items() if _SECRET_NAME.search(name)}
    for text in (*environ.values(), *argv):
        found.update(_in_text(text))
    found.update(_in_aws_files(environ))
    return frozenset(each for each in found if len(each) >= LEAST_CHARACTERS)


def _in_text(text: str) -> Iterator[str]:
    for pattern in (_IN_URL, _IN_SERVER_URL, _IN_QUERY):
        for value in pattern.findall(text.partition("=")[2] if text.startswith("--") else text):
            yield value
            yield unquote(value)


def _in_aws_files(environ: Mapping[str, str]) -> Iterator[str]:
    """The files that boto3 reads, where they are; a file that cannot be read tells boto3 nothing either."""
    home = Path(environ.get("HOME") or "~").expanduser()
    for variable, usual in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        given = environ.get(variable)
        try:
            text = (Path(given).expanduser() if given else home / ".aws" / usual).read_text("utf-8", "replace")
        except (OSError, RuntimeError, ValueError):
            continue
        yield from _AWS_LINE.findall(text)


class Redactor:
    """Blackens values in text, in the ways that they are written: plain, inside JSON, a repr or a URL."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._written: list[str] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Blacken these too from now on: some are handed out only while a program runs."""
        written = set(self._written)
        for secret in secrets:
            if len(secret) < LEAST_CHARACTERS:
                continue
            written |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
            written |= {repr(secret)[1:-1], ascii(secret)[1:-1], quote(secret, safe=""), quote(secret)}
        # The longest first, or a secret that begins with another would leave its end behind.
        self._written = sorted(written, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for value in self._written:
            text = text.replace(value, BLACKENED)
        return text

    def cut(self, text: str) -> str:
        """The same for text whose lines may have been cut in the middle of a secret."""
        return "\n".join(self._without_beginning(line) for line in self(text).split("\n"))

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it redacted, the names of fields too."""
        if not self._written:
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self.value(name): self.value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def _without_beginning(self, line: str) -> str:
        for value in self._written:
            for length in range(min(len(value) - 1, len(line)), LEAST_CHARACTERS - 1, -1):
                if line.endswith(value[:length]):
                    return line[:-length] + BLACKENED
        return line


class RedactedStream:
    """A text stream that shows no secret, whoever writes to it; in all else it is the stream below.

    Limit: a secret that is written in pieces passes; what is printed comes whole.
    """

    def __init__(self, stream: TextIO, redact: Redactor) -> None:
        self._stream = stream
        self._redact = redact

    def write(self, text: str) -> int:
        """Write the text without the secrets; the length of what was given, as streams answer."""
        self._stream.write(self._redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """The same for several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def redacted_streams(redact: Redactor) -> Iterator[None]:
    """Let stdout and stderr show no secret for the length of a block: code that is not ours may print there."""
    out, err = (cast("TextIO", RedactedStream(stream, redact)) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def excepthook(
    redact: Redactor,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What the interpreter shall call for an exception that ends a program: its traceback without secrets."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    return show


def this_process(read_environment: Callable[[], Mapping[str, str]], more: Iterable[str] = ()) -> Redactor:
    """A redactor of all that this process knows of, and `more`; a broken `.env` file makes no further error here."""
    try:
        environ = read_environment()
    except (OSError, ValueError):
        environ = os.environ
    return Redactor({*process_secrets(environ, sys.argv), *more})
