"""The files of deploy/, the image and compose.yaml are sound, and say only what the programs know.

No engine runs here: what can be checked without one is. The dashboard and the alerts are compared with the metrics
that a watcher exports in `tests/job_watcher/metrics/test_exposure.py`.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from job_watcher.life import FINISH_SECONDS, STEP_SECONDS, Life
from lib.settings import variable_name, variables

ROOT: Final = Path(__file__).parents[1]
UNITS: Final = ("job-watcher.service", "job-watcher@.service")
SETTINGS: Final = {variable_name(each) for each in variables()}
OF_OTHERS: Final = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
"""Variables of the image that are no settings of ours."""

STOP_SECONDS: Final = FINISH_SECONDS + inspect.getsource(Life._stop).count("self._step(") * STEP_SECONDS
"""The longest that an orderly stop takes: the bodies, then every step with a server that is away."""


def flags_of(*program: str) -> set[str]:
    """The flags that a program's help names."""
    module = {"job-watcher": "job_watcher.cli", "job-runner": "job_runner.cli.app"}[program[0]]
    code = f"import sys; from {module} import main; sys.exit(main())"
    words = [sys.executable, "-c", code, *program[1:], "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(re.findall(r"--[a-z][a-z-]+", shown.stdout))


def compose() -> dict[str, Any]:
    """compose.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def unit(name: str) -> dict[str, list[str]]:
    """The options of a unit, all sections together."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "deploy" / name).read_text().splitlines():
        if line and line[0] not in "#[":
            option, _, value = line.partition("=")
            found.setdefault(option, []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_the_unit_without_a_complaint(name: str, tmp_path: Path) -> None:
    """Only the program is another one here, since nothing is installed under /opt; its exposure is `OK`."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    text = (ROOT / "deploy" / name).read_text()
    path = tmp_path / name.replace("@", "@1")
    path.write_text(text.replace("/opt/job-runner/.venv/bin/job-watcher", "/bin/true"))
    shown = subprocess.run([program, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    words = [program, "security", "--offline=true", "--threshold=20", "--no-pager", str(path)]
    rated = subprocess.run(words, capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_stops_a_watcher_as_it_wants_to_be_stopped(name: str) -> None:
    """SIGTERM to the watcher alone, and time enough; a user of its own; no secret in the unit."""
    options = unit(name)
    assert options["KillSignal"] == ["SIGTERM"]
    assert options["KillMode"] == ["mixed"]
    assert int(options["TimeoutStopSec"][0]) > STOP_SECONDS
    assert options["User"] == ["job-runner"]
    assert {each.partition("=")[0] for each in options["Environment"]} <= SETTINGS
    assert options["Environment"] == [f"JOBS_STATE_DIR=/var/lib/{options['StateDirectory'][0]}"]


def test_the_two_units_differ_only_in_the_name() -> None:
    """What is mended in one is mended in the other."""
    one, many = (unit(name) for name in UNITS)
    assert {option for option in one if one[option] != many[option]} == {"Description", "ExecStart"}
    assert one.keys() == many.keys()
    assert "--consumer-name %l-%i" in many["ExecStart"][0]


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_uses_flags_that_exist(name: str) -> None:
    """As `job-watcher --help` has them."""
    used = set(re.findall(r"--[a-z-]+", unit(name)["ExecStart"][0]))
    assert used
    assert used <= flags_of("job-watcher")


def test_the_dockerfile_is_clean() -> None:
    """The linter finds nothing, not even at its lowest level."""
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("hadolint is not installed (make setup)")
    shown = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (0, "")


def test_the_image_is_not_root_and_holds_no_secret() -> None:
    """A user by number, exec form so that signals arrive, only settings that exist, and no variable for a secret."""
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    for word in ("ENTRYPOINT", "CMD"):
        (written,) = re.findall(rf"^{word} (.*)$", text, re.MULTILINE)
        assert json.loads(written)
    assert set(re.findall(r"--[a-z-]+", json.dumps(_words(text, "ENTRYPOINT") + _words(text, "CMD")))) <= flags_of(
        "job-watcher"
    )
    named = set(re.findall(r"\b([A-Z][A-Z0-9_]{3,})=", text))
    assert {each for each in named if not each.startswith("PIP_")} <= SETTINGS | OF_OTHERS
    assert not named & {"REDIS_URL", "CALLBACK_SECRET"}
    assert all(re.search(r":\d[\w.-]+", line) for line in re.findall(r"^FROM .*$", text, re.MULTILINE))


def _words(dockerfile: str, instruction: str) -> list[str]:
    (written,) = re.findall(rf"^{instruction} (\[.*)$", dockerfile, re.MULTILINE)
    found: list[str] = json.loads(written)
    return found


def test_only_what_the_image_needs_goes_to_the_builder() -> None:
    """Everything is left out but for what is named; so no .env, key or state can get into a layer."""
    first, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert first == "*"
    named = {line[1:] for line in rest if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert named == {word for line in copied for word in line.split()}
    assert all((ROOT / name).exists() for name in named)


def test_compose_keeps_jobs_and_publishes_no_port() -> None:
    """No eviction, every job on the disk before the reply, a volume; nobody outside reaches the server."""
    document = compose()
    valkey = document["services"]["valkey"]
    command = valkey["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert valkey["volumes"] == ["valkey-data:/data"]
    assert not any("ports" in service for service in document["services"].values())
    assert document["networks"]["queue"] == {"internal": True}
    assert valkey["networks"] == ["queue"]


def test_compose_names_what_exists() -> None:
    """Images by version, settings that are ours, volumes and networks that are declared, services to wait for."""
    document = compose()
    services = document["services"]
    for service in services.values():
        assert re.search(r":\d[\w.-]*$", service["image"])
        assert {each.partition(":")[0] for each in service["volumes"]} <= document["volumes"].keys()
        assert set(service["networks"]) <= document["networks"].keys()
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert service["restart"] == "unless-stopped"
    watcher = services["watcher"]
    assert watcher["environment"].keys() <= SETTINGS
    assert watcher["depends_on"] == {"valkey": {"condition": "service_healthy"}}
    assert watcher["init"] is True
    assert int(watcher["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    for name, value in watcher["environment"].items():
        asked = re.findall(r"\$\{(\w+)", str(value))
        assert asked in ([], [name])


def test_healthchecks_ask_for_the_container_s_own_watcher() -> None:
    """By its name, with a flag that exists, in the image and in compose.yaml alike."""
    (_, asked) = compose()["services"]["watcher"]["healthcheck"]["test"]
    written = re.search(r"HEALTHCHECK.*?CMD (\[.*?\])\n", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert written is not None
    assert json.loads(written[1]) == ["sh", "-c", asked.replace("$$", "$")]
    assert subprocess.run(["sh", "-n", "-c", asked.replace("$$", "$")], check=False).returncode == 0
    assert set(re.findall(r"--[a-z-]+", asked)) <= flags_of("job-watcher", "ping")


def test_the_version_of_the_image_is_that_of_the_package() -> None:
    """Whoever releases finds the other place."""
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert compose()["services"]["watcher"]["image"] == f"job-runner:{version[1]}"


def test_prometheus_scrapes_where_the_unit_serves() -> None:
    """One port in the unit, the image, compose.yaml and the example; the alerts are named by it."""
    (target,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (address,) = target["static_configs"][0]["targets"]
    port = address.rpartition(":")[2]
    assert f"--metrics-port {port}" in unit("job-watcher.service")["ExecStart"][0]
    assert f"EXPOSE {port}\n" in (ROOT / "Dockerfile").read_text()
    assert compose()["services"]["watcher"]["expose"] == [port]
    rules = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["rule_files"]
    assert all((ROOT / "deploy/prometheus" / name).exists() for name in rules)
