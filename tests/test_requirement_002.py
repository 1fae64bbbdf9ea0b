"""What the first description of job-runner told people to type works as it was written there.

Its lines stand here as data, since the description is not part of this house: "Quick Start", "Command Reference",
"Makefile Shortcuts", "Operational Playbook". Only its paths are others. Each line is typed into a terminal in a
checkout as good as fresh, with the bundled server and a real watcher in between; questions are answered with yes.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from lib import embedded
from lib.redisqueue.connection import connect
from tests.support.checkout import Checkout, fresh_checkout, without_colour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.terminal import Said

# Dozens of commands, each a process of its own, on a machine that does other things too.
pytestmark = pytest.mark.timeout(400)

QUICK_START: Final = """
# Validate YAML + voice availability + preview text load
./run job-runner plan /app/jobs.example.yaml

# Idempotent enqueue by request_id
./run job-runner enqueue /app/jobs.example.yaml

# Queue and result inspection
./run job-runner status --json
./run job-runner history
./run job-runner result topic:beat-001 --json

# Quick dashboard (status + recent history)
make jobs-dashboard
"""

OFFLINE_COMMANDS: Final = """
plan YAML
compile YAML --out DIR
run YAML [--dry-run]
execute-manifest MANIFEST
"""

REDIS_COMMANDS: Final = """
enqueue YAML
enqueue-beatsheet JSON --voice V
status [--json]
history [--limit N] [--status done|failed|all]
result REQUEST_ID
report YAML
retry REQUEST_ID [--yes]
flush [--hard] [--yes]
"""

MAKEFILE_SHORTCUTS: Final = """
make jobs-plan FILE=/app/jobs.example.yaml   # plan
make jobs-enqueue FILE=/app/jobs.example.yaml # enqueue
make jobs-status                              # queue status
make jobs-status ARGS='--json'                # JSON queue status
make jobs-history                             # recent history
make jobs-history ARGS='--status failed'      # failed only
make jobs-result ID=topic:beat-001            # single result
make jobs-report FILE=/app/jobs.example.yaml  # full report
make jobs-retry ID=topic:beat-001 ARGS='--yes'# retry failed job
make jobs-flush                               # soft flush
make jobs-flush ARGS='--hard --yes'           # hard flush
make jobs-dashboard                           # status + history
make jobs-logs                                # latest execution.json
"""

PLAYBOOK: Final = """
make jobs-dashboard
./run job-runner status
./run job-runner result topic:beat-001 --json
./run job-runner retry topic:beat-001 --yes
./run job-runner flush --hard --yes
./run job-runner run /app/jobs.example.yaml --dry-run --json
./run job-runner execute-manifest /work/job-batch/manifest.json
"""

# The file that it shows, canonical form and all.
JOBS: Final = """
defaults:
  language: English
  profile: balanced
  variants: 1
  select_best: false
  chunk: false

jobs:
  - output_name: topic/beat-001
    voice: newsroom
    text: "First line"

  - output_name: topic/beat-002
    speaker: Ryan
    voice: null
    text: "Second line"
"""

BEATSHEET: Final = {"topicId": "sheet", "beats": [{"id": 1, "narration": "One."}, {"id": 2, "narration": "Two."}]}

PATHS: Final = {"/app/": "app/", "/work/job-batch": "work/job-batch"}
WORDS: Final = {
    "YAML": "app/jobs.example.yaml",
    "DIR": "work/job-batch",
    "MANIFEST": "work/job-batch/manifest.json",
    "JSON": "app/beatsheet.json",
    "V": "newsroom",
    "N": "5",
    "REQUEST_ID": "topic:beat-001",
}
DRAIN: Final = "./run job-watcher --drain --quiet"
STATES: Final = {
    "failed": ("./run job-runner enqueue app/failing.yaml --any-voice --replace", DRAIN),
    "done": ("./run job-runner enqueue app/jobs.example.yaml --replace", DRAIN),
    "compiled": ("./run job-runner compile app/jobs.example.yaml --out work/job-batch",),
    "run": ("./run job-runner run app/jobs.example.yaml",),
}
"""How to bring about what a line speaks of; the watcher of a job that fails ends with 1."""

NEEDS: Final = {
    "retry": "failed",
    "result|report|history|dashboard": "done",
    "execute-manifest": "compiled",
    "logs": "run",
}
SAYS: Final = {
    r"\bplan|enqueue|report|retry": r"topic:beat-001|sheet:beat-001",
    r"history": r"topic:beat-00|nothing is failed",
    r"dashboard|result": r"topic:beat-00",
    r"status": r"outstanding",
    r"flush": r"removed \d+ jobs?",
    r"\bcompile": r"manifest\.json",
    r"\brun |execute-manifest|logs": r"topic:beat-001|\"jobs\"",
}
"""What shows that a line did what it is for: make is content with a target that has nothing to do."""

YES: Final = {r"\[y/N\]:? $": "y"}


def lines_of(section: str) -> list[str]:
    """The commands of a section, with the paths that there are here."""
    lines = [re.sub(r"\s*#.*", "", line).strip() for line in section.splitlines()]
    for there, here in PATHS.items():
        lines = [line.replace(there, here) for line in lines]
    return [line for line in lines if line]


def forms_of(synopsis: str) -> list[str]:
    """Every way to type a synopsis: without its options, with each, with each of their values."""
    options = re.findall(r"\[(.+?)\]", synopsis)
    bare = re.sub(r"\s*\[.+?\]", "", synopsis)
    forms = [bare]
    for option in options:
        flag, _, values = option.partition(" ")
        forms += [f"{bare} {flag} {value}".strip() for value in values.split("|")]
    return [" ".join(WORDS.get(word, word) for word in form.split()) for form in forms]


class Yard:
    """A checkout with the description's files, a running server, and jobs in the state that a line needs."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self._state = ""
        checkout.write("app/jobs.example.yaml", JOBS)
        # Nobody of this name is here: the job fails, and keeps its name.
        checkout.write("app/failing.yaml", "- {output_name: topic/beat-001, voice: nobody, text: First line}\n")
        checkout.write("app/beatsheet.json", json.dumps(BEATSHEET))

    async def type(self, line: str) -> Said:
        """Type it, and be told that it went well."""
        said = await self._checkout.type(line, answers=YES)
        assert said.code == 0, said
        return said

    async def ready(self, line: str) -> None:
        """Bring about what a line speaks of, unless it is so: a job that failed, one that is done, a folder, a run."""
        wanted = next((state for pattern, state in NEEDS.items() if re.search(pattern, line)), self._state)
        if wanted != self._state:
            for step in STATES[wanted]:
                await self._checkout.type(step)
        self._state = wanted
        # What a line does to the state itself: a retried job waits again, and a flush leaves nothing to look at.
        if re.search("retry|flush", line):
            self._state = ""

    async def all_of(self, lines: list[str]) -> dict[str, Said]:
        """Each line, in this order, with what it needs."""
        said = {}
        for line in lines:
            await self.ready(line)
            said[line] = await self.type(line)
            words = line.partition("job-runner ")[2] or line
            [expected] = [says for pattern, says in SAYS.items() if re.search(pattern, words)][:1]
            assert re.search(expected, without_colour(said[line].text)), said[line]
        return said


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def checkout(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Checkout]:
    """One for all tests of this module; what each leaves behind is cleared away for the next."""
    async with fresh_checkout(tmp_path_factory.mktemp("description") / "checkout") as made:
        yield made


@pytest.fixture
async def yard(checkout: Checkout) -> Yard:
    """Ready to type: the server runs and is empty, and nothing was compiled or made before."""
    server = await embedded.start(checkout.place / ".state", port=None)
    async with connect(server.url) as client:
        await client.flushall()
    left = [path for path in (checkout.place / ".state").iterdir() if path.name not in {"valkey", "server.json"}]
    for path in (*left, checkout.place / "app", checkout.place / "work"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return Yard(checkout)


def document(said: Said) -> dict[str, Any]:
    """The JSON document in what was said."""
    text = without_colour(said.text)
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    return found


async def test_quick_start(yard: Yard) -> None:
    """From a file to its record."""
    lines = lines_of(QUICK_START)
    said = await yard.all_of(lines)
    assert "topic:beat-002" in said[lines[0]].text
    assert "queued" in said[lines[1]].text
    assert document(said["./run job-runner status --json"])["totals"]["outstanding"] == 2
    assert document(said["./run job-runner result topic:beat-001 --json"])["status"] == "done"
    for words in ("outstanding", "topic:beat-001"):
        assert words in said["make jobs-dashboard"].text


async def test_enqueue_is_idempotent(yard: Yard) -> None:
    """The second time says so, and is no error."""
    line = "./run job-runner enqueue app/jobs.example.yaml"
    assert "2 queued" in without_colour((await yard.type(line)).text)
    assert "2 duplicate_request" in without_colour((await yard.type(line)).text)


async def test_offline_commands(yard: Yard) -> None:
    """Every form of the first table, with the server stopped."""
    await yard.type("./run job-runner server stop")
    for synopsis in lines_of(OFFLINE_COMMANDS):
        await yard.all_of([f"./run job-runner {form}" for form in forms_of(synopsis)])


async def test_redis_commands(yard: Yard) -> None:
    """Every form of the second table; each takes --json, and --redis-url, which wins."""
    url = document(await yard.type("./run job-runner server status --json"))["url"]
    for synopsis in lines_of(REDIS_COMMANDS):
        forms = [f"./run job-runner {form}" for form in forms_of(synopsis)]
        await yard.all_of([form for form in forms if "--json" not in form])
        line = f"REDIS_URL=redis://127.0.0.1:1/0 {forms[-1]} --redis-url {url}"
        await yard.ready(forms[-1])
        said = await yard.type(line if "--json" in line else f"{line} --json")
        assert document(said)["schema_version"] == 1


async def test_makefile_shortcuts(yard: Yard) -> None:
    """Every target, the last one after a run without a queue."""
    lines = lines_of(MAKEFILE_SHORTCUTS)
    said = await yard.all_of(lines)
    assert document(said["make jobs-status ARGS='--json'"])["schema_version"] == 1
    assert "topic:beat-001" in said["make jobs-logs"].text


async def test_operational_playbook(yard: Yard) -> None:
    """Health, a failed job, its retry, a reset, a validation run, a manifest."""
    lines = lines_of(PLAYBOOK)
    said = await yard.all_of(lines)
    plan = document(said["./run job-runner run app/jobs.example.yaml --dry-run --json"])
    assert (plan["dry_run"], plan["job_count"], plan["executed_count"]) == (True, 2, 0)


async def test_key_indicators(yard: Yard) -> None:
    """What the playbook tells people to look at is there, in JSON and for the eye."""
    await yard.type("./run job-runner enqueue app/jobs.example.yaml")
    shown = document(await yard.type("./run job-runner status --json"))
    assert shown["totals"]["outstanding"] == 2
    assert shown["stream"]["stale_pel"] == 0
    assert shown["lock"]["owner"] is None
    text = without_colour((await yard.type("./run job-runner status")).text)
    assert re.search(r"outstanding +2", text)
    assert re.search(r"stale +0", text)
