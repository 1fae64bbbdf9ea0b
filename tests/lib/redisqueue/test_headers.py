"""Each Lua file's header against what is true: its body, the keys, its includes, and its Python wrapper."""

from __future__ import annotations

import ast
import re
from importlib import resources
from pathlib import Path

import pytest

from lib import redisqueue
from lib.errors import QueueError
from lib.redisqueue.connection import connect
from lib.redisqueue.keys import Keys
from lib.redisqueue.queue import Queue
from lib.redisqueue.scripts import Header, load, parse_header, prelude, script_names

LUA = Path(str(resources.files("lib.redisqueue") / "lua"))
WRAPPERS = sorted(Path(str(redisqueue.__file__)).parent.glob("*.py"))
INCLUDES = sorted(path.stem for path in (LUA / "include").glob("*.lua"))
# What an include needs to be defined before it, and the keys that it uses.
DEFINES = re.compile(r"^local (?:function (\w+)|(\w+) =)", re.MULTILINE)
KEY_USES = re.compile(r"\bK\.(\w+)")


def source(name: str) -> str:
    """The text of a script without its generated part."""
    return (LUA / f"{name}.lua").read_text()


def included(name: str) -> str:
    """The text of an include."""
    return (LUA / "include" / f"{name}.lua").read_text()


def code(text: str) -> str:
    """Lua without comments."""
    return re.sub(r"--.*", "", text)


def parts(text: str) -> tuple[dict[str, str], str]:
    """The functions and values of an include by name, and what of it runs in every script that has it."""
    found: dict[str, str] = {}
    always: list[str] = []
    for piece in re.split(r"^(?=local )", text, flags=re.MULTILINE):
        head = re.match(r"local (?:function )?(\w+)", piece)
        if head is None:
            always.append(piece)
        else:
            found[head[1]] = piece
    return found, "".join(always)


def keys_used(body: str, includes: list[str]) -> set[str]:
    """The keys of the body and of all that it reaches by calls, however many functions lie between."""
    known: dict[str, str] = {}
    open_texts = [body]
    for text in includes:
        found, always = parts(text)
        known.update(found)
        open_texts.append(always)
    reached: list[str] = []
    while open_texts:
        text = open_texts.pop()
        reached.append(text)
        open_texts.extend(known.pop(word) for word in set(re.findall(r"\w+", text)) & set(known))
    used = set().union(*(KEY_USES.findall(text) for text in reached))
    if any("K[" in text for text in reached):
        # What stands between the brackets is a word of a list, or of a value that is reached.
        for text in reached:
            words = "".join(re.findall(r"\{((?:\s*'\w+',?)+)\s*\}", text))
            words += text if re.match(r"local [A-Z]+ = {", text) else ""
            used |= set(re.findall(r"'(\w+)'", words)) & set(Keys().all_fixed())
    return used


def calls() -> dict[str, ast.Call]:
    """Every `scripts.call("name", …)` of the wrappers."""
    found: dict[str, ast.Call] = {}
    for path in WRAPPERS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found[first.value] = node
    return found


CALLS = calls()
OWN_ARGUMENTS = {"intakes", "lanes", "rows", "common"}


@pytest.mark.parametrize("name", script_names())
def test_every_script_has_one_wrapper_with_its_arguments_in_order(name: str) -> None:
    """ARGV names are the keyword arguments of the call, in that order; EACH means rows, STREAMS means streams."""
    header = load(name).header
    assert name in CALLS, f"nobody calls {name}.lua"
    given = [keyword.arg for keyword in CALLS[name].keywords]
    assert tuple(arg for arg in given if arg not in OWN_ARGUMENTS) == header.argv
    assert ("rows" in given) == bool(header.each)
    assert ("common" in given) == bool(header.common)
    assert {"intakes", "lanes"} & set(given) == set(header.streams)


def test_every_call_names_a_script() -> None:
    """And no wrapper calls a file that is gone."""
    assert set(CALLS) == set(script_names())


@pytest.mark.parametrize("name", script_names())
def test_keys_are_declared_once_and_used(name: str) -> None:
    """Every key is in keys.py, none is named twice, and those named are just those that the body gets to."""
    header = load(name).header
    for key in header.keys:
        assert Keys.type_of(key) in {"string", "hash", "zset", "set", "stream"}
    assert len(set(header.keys)) == len(header.keys)
    used = keys_used(code(source(name)), [code(included(part)) for part in header.includes])
    assert set(header.keys) <= used, f"never used: {set(header.keys) - used}"
    assert used <= set(header.keys), f"used and not named: {used - set(header.keys)}"


def test_a_key_that_only_an_unreached_function_uses_is_none_of_the_script() -> None:
    """Each would cost every call a TYPE; what is reached by way of another function counts."""
    include = (
        "local NAMES = { one = 'due' }\n"
        "local function deep()\n  redis.call('DEL', K.fence)\nend\n"
        "local function shallow()\n  deep()\nend\n"
        "local function never()\n  redis.call('DEL', K[NAMES.one])\n  redis.call('DEL', K.index)\nend\n"
    )
    assert keys_used("shallow()\n", [include]) == {"fence"}
    assert keys_used("never()\n", [include]) == {"due", "index"}
    assert keys_used("wake('due', K.lock)\n", [include]) == {"lock"}


@pytest.mark.parametrize("name", script_names())
def test_arguments_and_fields_are_read(name: str) -> None:
    """An argument that nobody reads is a lie in the header."""
    header = load(name).header
    body = code(source(name)) + "".join(code(included(part)) for part in header.includes)
    for argument in header.argv:
        assert re.search(rf"\b{argument}\b", body), f"ARGV {argument} is never read"
    for field in (*header.common, *header.each):
        assert re.search(rf"[.]{field}\b", body), f"{field} is never read"


@pytest.mark.parametrize("name", script_names())
def test_reply_codes_and_purpose_are_documented(name: str) -> None:
    """Purpose first, a REPLY line, and every code that the CODES line promises stands in a file."""
    text = source(name)
    assert re.match(r"(#!lua flags=allow-oom\n)?--- [A-Z]", text), "the first line says what it is for"
    assert "-- REPLY: " in text
    whole = text + "".join(included(part) for part in load(name).header.includes)
    for line in re.findall(r"^-- CODES: (.*)$", text, re.MULTILINE):
        for word in line.split():
            stem = word.partition("_")[0] if word.startswith("already_") else word
            assert f"'{stem}" in code(whole), f"code {word} is never answered"
    for line in re.findall(r"^-- EVENTS: (.*)$", text, re.MULTILINE):
        for event in line.split():
            assert re.search(rf"\b{event}\b", code(whole)), f"event {event} is never told"


@pytest.mark.parametrize("name", script_names())
def test_includes_exist_are_needed_and_come_after_what_they_use(name: str) -> None:
    """Each defines something that the script or a later include uses, and nothing is used before its definition."""
    includes = load(name).header.includes
    assert len(set(includes)) == len(includes)
    parts = [(part, code(included(part))) for part in includes] + [(name, code(source(name)))]
    defined: set[str] = set()
    every = {one: set(filter(None, sum(DEFINES.findall(code(included(one))), ()))) for one in INCLUDES}
    for position, (part, text) in enumerate(parts):
        mine = every.get(part, set()) if position < len(includes) else set()
        shared = {other for names in every.values() for other in names if re.search(rf"\b{other}\(", text)}
        local = set(filter(None, sum(DEFINES.findall(text), ())))
        if position == len(includes):
            assert shared - local <= defined, f"{part} uses {shared - local - defined} and does not include it"
        defined |= mine
        later = "".join(other for _, other in parts[position + 1 :])
        needed = any(re.search(rf"\b{word}\b", later) for word in mine)
        assert position == len(includes) or needed, f"{name} does not need {part}"


@pytest.mark.parametrize("name", script_names())
def test_only_what_takes_in_new_work_is_refused_when_memory_is_full(name: str) -> None:
    """Whatever ends, keeps or frees work carries allow-oom; submit and adopt do not."""
    ends_with_memory = source(name).startswith("#!lua flags=allow-oom\n")
    assert ends_with_memory == (name not in {"submit", "adopt"})


def test_no_script_makes_keys_or_reads_them_all() -> None:
    """Every key comes in KEYS: a Cluster needs it, and so does whoever reads a header."""
    for path in sorted(LUA.rglob("*.lua")):
        text = code(path.read_text())
        assert "'KEYS'" not in text
        assert "'SCAN'" not in text
        assert not re.search(r"'pab|jobs:'|watcher:'", text), path.name


def test_a_header_is_parsed_as_written() -> None:
    """Lines of one kind add up; what follows the header is not part of it."""
    lines = (
        "- Does it.",
        " KEYS: fence index",
        " KEYS: due",
        " STREAMS: lanes",
        " ARGV: a b",
        " COMMON: d",
        " EACH: c",
        " INCLUDE: base",
    )
    text = "".join(f"--{line}\n" for line in lines)
    assert parse_header(text) == Header(("fence", "index", "due"), ("lanes",), ("a", "b"), ("c",), ("base",), ("d",))


def test_the_prelude_names_types_streams_arguments_and_rows() -> None:
    """What the header says is what the script's first lines define."""
    text = prelude(Header(("index", "due"), ("intakes", "lanes"), ("session",), ("lane", "entry"), ()))
    assert "local K = {index = KEYS[1], due = KEYS[2]}" in text
    assert "local KINDS = {'hash', 'zset'}" in text
    assert "i <= 2 + tonumber(ARGV[1]) and INTAKES or LANES" in text
    assert "local session = ARGV[2]" in text
    assert "local ROWS_AT = 2\nlocal ROWS = (#ARGV - ROWS_AT) / 2" in text
    assert "lane = ARGV[at + 1], entry = ARGV[at + 2]" in text


def test_what_rows_share_stands_between_the_arguments_and_the_rows() -> None:
    """How many there are is said first, since the rows begin behind them."""
    text = prelude(Header(("index",), (), ("mode",), ("id",), (), ("intake", "key")))
    assert "local COMMONS_AT, COMMONS = 1 + 1, tonumber(ARGV[1 + 1])" in text
    assert "count = ARGV[at + 1], intake = ARGV[at + 2], key = ARGV[at + 3]" in text
    assert "local ROWS_AT = (COMMONS_AT + COMMONS * 3)" in text


def test_without_flags_the_first_line_is_no_shebang() -> None:
    """A server that cannot read `#!lua` gets the same script without it."""
    assert load("commit").text.startswith("#!lua flags=allow-oom\n")
    assert load("commit", flags=False).text == load("commit").text.partition("\n")[2]
    assert load("commit", flags=False).sha != load("commit").sha


async def test_a_call_with_wrong_arguments_is_refused_before_it_is_sent() -> None:
    """Names, order and width are checked in Python: nothing listens at this address."""
    queue = Queue.over(connect("redis://127.0.0.1:1/0"), "redis://127.0.0.1:1/0")
    with pytest.raises(QueueError, match="arguments"):
        await queue.scripts.call("lead")
    with pytest.raises(QueueError, match="arguments"):
        await queue.scripts.call("close", name="w", session="s")
    with pytest.raises(QueueError, match="row"):
        await queue.scripts.call("publish", rows=[("1-1", "a")])
    await queue.client.aclose()
