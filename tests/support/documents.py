"""What a document tells people to type and to write, in order, so that a test can do it.

A fence of `sh` holds commands, one a line; a backslash at the end goes on. `file=NAME` behind the language of one is
the name of a file that the reader writes; `exit=N` behind `sh` the code with which the last command ends; a fence of
`text` right behind commands shows what they say. Nobody sees these words where a page is rendered.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.checkout import without_colour

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.checkout import Checkout
    from tests.support.terminal import Said

_FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fence:
    """One block of code: `line` is where it begins, `words` what stands behind its language."""

    language: str
    words: dict[str, str]
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """The commands of an `sh` fence, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def fences(page: Path) -> list[Fence]:
    """All blocks of code of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Fence(
            found[1],
            dict(word.partition("=")[::2] for word in found[2].split() if "=" in word),
            found[3],
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def plain(line: str) -> str:
    """A line of output with what differs from run to run made the same: numbers, times, widths of columns."""
    return re.sub(r"\s+", " ", re.sub(r"[0-9a-f]{12,}|\d[\d.,:]*", "0", line)).strip()


def missing_lines(shown: str, said: str) -> list[str]:
    """The lines of a `text` fence that the commands did not say; `…` in a line stands for anything."""
    lines = [plain(line) for line in said.splitlines()]
    missing = []
    for line in filter(None, map(plain, shown.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        if not any(pattern.fullmatch(each) for each in lines):
            missing.append(line)
    return missing


async def follow(
    page: Path, checkout: Checkout, *, not_run: Mapping[str, str], answers: Mapping[str, str]
) -> list[Said]:
    """Do all that a page says, from top to bottom; what each command said.

    `not_run` are the commands that are left out, each with its reason. Raises AssertionError where a command ends
    otherwise than the page says, or does not say what the page shows.
    """
    done: list[Said] = []
    said = ""
    for fence in fences(page):
        place = f"{page.name}:{fence.line}"
        if "file" in fence.words:
            checkout.write(fence.words["file"], fence.text)
        elif fence.language == "text":
            assert missing_lines(fence.text, said) == [], f"{place}: not said:\n{said}"
        elif fence.language == "sh":
            said = ""
            for line in fence.commands:
                if line in not_run or _exported(line, checkout):
                    continue
                wanted = int(fence.words.get("exit", "0")) if line == fence.commands[-1] else 0
                done.append(await checkout.type(line, answers=answers))
                assert done[-1].code == wanted, f"{place}: exit code {wanted} was promised\n{done[-1]}"
                said += without_colour(done[-1].text)
    return done


def _exported(line: str, checkout: Checkout) -> bool:
    """Keep what `export NAME=VALUE …` sets for the commands that follow."""
    if not line.startswith("export "):
        return False
    checkout.environ.update(word.partition("=")[::2] for word in shlex.split(line)[1:])
    return True
