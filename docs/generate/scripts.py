"""The page of Lua scripts, from the headers of the files and from the Python that calls them."""

from __future__ import annotations

import ast
from importlib import resources
from pathlib import Path
from typing import Final

from docs.generate.markdown import code, codes, flowed, joined, opening, table
from lib.redisqueue.keys import Keys
from lib.redisqueue.scripts import script_names

_QUEUE: Final = Path(str(resources.files("lib.redisqueue")))
_TAGS: Final = ("KEYS", "STREAMS", "ARGV", "COMMON", "EACH", "REPLY", "CODES", "EVENTS", "ERRORS", "INCLUDE")


def page() -> str:
    """Every script: what it does, what it is given, what it answers."""
    names = script_names()
    sections = [_section(name) for name in names]
    shared = [
        (code(path.stem), _purpose(_comment(path))) for path in sorted((_QUEUE / "lua" / "include").glob("*.lua"))
    ]
    return joined(
        opening(
            "Lua scripts",
            "the headers in lib/redisqueue/lua/",
            "Every change of a job's state is one of these scripts, and nothing else makes one: Redis runs a "
            "script whole and alone. A script is given every key that it touches, checks all that it needs to know, "
            "and then acts or does nothing. It never decodes a user's JSON.",
            "`KEYS` are fixed keys by their short names (see [records](records.md#redis-keys)); `STREAMS` says which "
            "of the intakes and lanes follow; `ARGV` are arguments of the whole call, `EACH` the fields of one row, "
            "`COMMON` what neighbouring rows have in common. `CODES` are the answers to a row, `EVENTS` what it tells "
            "to `jobs:events`, `ERRORS` what it raises. All times are milliseconds; `..._max` limits the work of one "
            "call.",
        ),
        table(("script", "what it does", "called by"), [_row(name) for name in names]),
        *sections,
        "## Shared parts",
        "A script names those it needs under `INCLUDE`; they are put in front of it.",
        table(("part", "what it holds"), shared),
    )


def keys_used() -> dict[str, list[str]]:
    """Short name of a key -> the scripts that are given it."""
    used: dict[str, list[str]] = {}
    for name in script_names():
        for key in _header(name).get("KEYS", "").split():
            used.setdefault(key, []).append(name)
    return used


def _row(name: str) -> tuple[str, str, str]:
    purpose = _purpose(_comment(_path(name)))
    # Up to the first full stop that ends a sentence: the rest stands below.
    first, _, _ = purpose.partition(". ")
    return f"[`{name}`](#{name})", f"{first.rstrip('.')}.", codes(_CALLERS.get(name, ()))


def _section(name: str) -> str:
    header = _header(name)
    rows = []
    for tag in _TAGS:
        said = header.get(tag, "")
        if tag in {"KEYS", "ARGV", "COMMON", "EACH", "CODES", "EVENTS", "ERRORS", "INCLUDE", "STREAMS"}:
            said = codes(said.split())
        if tag == "KEYS":
            said = ", ".join(f"`{key}` ({Keys.type_of(key)})" for key in header.get("KEYS", "").split())
        if said:
            rows.append((tag, said))
    full = _path(name).read_text(encoding="utf-8").startswith("#!lua flags=allow-oom")
    rows.append(("on a full server", "runs" if full else "is refused: it takes in new work"))
    return "\n\n".join([f"## {name}", flowed(_purpose(_comment(_path(name)))), table(("", ""), rows)])


def _path(name: str) -> Path:
    return _QUEUE / "lua" / f"{name}.lua"


def _comment(path: Path) -> list[str]:
    """The lines of the comment at the top, without dashes."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#!")]
    top: list[str] = []
    for line in lines:
        if not line.startswith("--"):
            break
        top.append(line.lstrip("-").strip())
    return top


def _tag_of(line: str) -> str:
    tag, colon, _ = line.partition(": ")
    return tag if colon and tag in _TAGS else ""


def _purpose(comment: list[str]) -> str:
    return " ".join(line for line in comment if not _tag_of(line))


def _header(name: str) -> dict[str, str]:
    """Tag -> what stands behind it, several lines of one tag joined."""
    found: dict[str, str] = {}
    for line in _comment(_path(name)):
        tag = _tag_of(line)
        if tag:
            found[tag] = f"{found.get(tag, '')} {line.partition(': ')[2]}".strip()
    return found


def _callers() -> dict[str, list[str]]:
    """Script -> the functions of lib.redisqueue that call it."""
    found: dict[str, list[str]] = {}
    for path in sorted(_QUEUE.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call":
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        found.setdefault(first.value, []).append(f"{path.stem}.{function.name}")
    return found


_CALLERS: Final = _callers()
