"""Rules of the house that no linter knows: sizes, and that documents say what the code does."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from lib.settings import variable_name, variables

HOUSE = Path(__file__).parents[1]
SOURCES = ("lib", "job_runner", "job_watcher")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80

LONGER_FILES: dict[str, int] = {}
"""Files allowed to be longer, with their own limit; each needs a reason beside it."""


def files(*folders: str, suffix: str = ".py") -> list[Path]:
    """All files of these folders with this suffix, relative to the house."""
    found = (path for folder in folders for path in (HOUSE / folder).rglob(f"*{suffix}"))
    return sorted(path.relative_to(HOUSE) for path in found)


@pytest.mark.parametrize("suffix", [".py", ".lua"])
def test_no_file_is_too_long(suffix: str) -> None:
    """A file that outgrows the limit has taken on a second duty."""
    too_long = {}
    for path in files(*SOURCES, "tests", "bench", suffix=suffix):
        lines = len((HOUSE / path).read_text().splitlines())
        if lines > LONGER_FILES.get(str(path), MAX_FILE_LINES):
            too_long[str(path)] = lines
    assert too_long == {}


def test_no_function_is_too_long() -> None:
    """A function fits on one screen, its docstring included."""
    too_long = []
    for path in files(*SOURCES):
        for node in ast.walk(ast.parse((HOUSE / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long.append(f"{path}:{node.lineno} {node.name}: {lines}")
    assert too_long == []


def test_every_module_says_why_it_exists() -> None:
    """Each module opens with a docstring."""
    silent = [str(p) for p in files(*SOURCES, "tests") if not ast.get_docstring(ast.parse((HOUSE / p).read_text()))]
    assert silent == []


def test_tests_are_at_least_as_much_as_source() -> None:
    """Lines of tests to lines of source: 1.2 or more."""
    count = {
        kind: sum(len((HOUSE / path).read_text().splitlines()) for path in files(*folders))
        for kind, folders in {"source": SOURCES, "tests": ("tests",)}.items()
    }
    assert count["tests"] >= 1.2 * count["source"], count


def test_no_module_is_a_drawer_for_anything() -> None:
    """A module is named for its duty."""
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert [str(path) for path in files(*SOURCES) if path.stem in drawers] == []


def test_every_setting_is_documented_with_its_default() -> None:
    """.env.example and lib/settings.py name the same variables with the same defaults, in the same order."""
    written = re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", (HOUSE / ".env.example").read_text(), re.MULTILINE)
    declared = [(variable_name(each), each.metadata["default"] or "") for each in variables()]
    assert written == declared


def test_every_setting_is_explained_as_in_the_code() -> None:
    """The reason in .env.example is the one in the code."""
    words = " ".join(re.sub(r"^# ?", "", (HOUSE / ".env.example").read_text(), flags=re.MULTILINE).split())
    missing = [variable_name(each) for each in variables() if " ".join(each.metadata["why"].split()) not in words]
    assert missing == []


@pytest.mark.parametrize("decision", files("docs/adr", suffix=".md"), ids=lambda path: path.stem)
def test_a_decision_says_context_decision_and_consequences(decision: Path) -> None:
    """One page each, in this order."""
    text = (HOUSE / decision).read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert re.match(rf"# {int(decision.name[:4])}\. \S", text), "the heading carries the file's number"
    assert len(text.splitlines()) <= 60


def test_decisions_are_numbered_without_gaps() -> None:
    """0001, 0002 and so on; a number is never given again."""
    numbers = [int(path.name[:4]) for path in files("docs/adr", suffix=".md")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


def test_every_make_target_says_what_it_does() -> None:
    """`make help` lists every target that is meant for people."""
    makefile = (HOUSE / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    helped = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(phony.replace("\\", "").split()) == sorted(helped)


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names something that is there."""
    broken = []
    for document in [Path("README.md"), Path("CHANGELOG.md"), *files("docs", suffix=".md")]:
        targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (HOUSE / document).read_text())
        local = [target for target in targets if "://" not in target]
        broken += [f"{document}: {each}" for each in local if not (HOUSE / document.parent / each).exists()]
    assert broken == []


def test_every_dependency_is_explained() -> None:
    """docs/dependencies.md has a line for each direct dependency of pyproject.toml."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    declared = {re.split(r"[\[<>=~!; ]", each, maxsplit=1)[0].lower() for each in asked} - {project["name"]}
    explained = set(re.findall(r"^\| `([a-z0-9_-]+)`", (HOUSE / "docs/dependencies.md").read_text(), re.MULTILINE))
    assert declared - explained == set()


def test_pins_name_versions_and_nothing_else() -> None:
    """constraints.txt carries no address, no path, no extra."""
    lines = (HOUSE / "constraints.txt").read_text().splitlines()
    odd = [line for line in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line)]
    assert odd == []


def test_every_fault_that_a_test_names_is_in_the_table_and_every_row_names_its_tests() -> None:
    """`Faults row 12` in a docstring leads somewhere, and no row claims a test that is not there."""
    rows = re.findall(
        r"^\| ([0-9]+[a-c]?) \|.*\| ([^|]+) \|$", (HOUSE / "docs/explanation/faults.md").read_text(), re.MULTILINE
    )
    named = {
        number
        for path in files("tests", suffix=".py")
        for number in re.findall(r"\b[Rr]ow ([0-9]+[a-c]?)\b", (HOUSE / path).read_text())
    }
    assert named - {number for number, _ in rows} == set()
    told = [test for _, tests in rows for test in re.findall(r"`([a-z0-9_/]+\.py)`", tests)]
    assert [test for test in told if not (HOUSE / test).exists()] == []
    assert all(tests.strip() for _, tests in rows)
