"""The image of a rented machine is clean, and has what is looked for there. No engine of containers runs here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from job_watcher.hosts.probe import _LOOK
from lib.voice_synth.engines.qwen_weights import WeightsHere, name_of

HOUSE: Final = Path(__file__).parents[3]
TEXT: Final = (HOUSE / "Dockerfile.worker").read_text()


def test_the_dockerfile_is_clean() -> None:
    """The linter finds nothing, not even at its lowest level."""
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("hadolint is not installed (make setup)")
    shown = subprocess.run([program, HOUSE / "Dockerfile.worker"], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (0, "")


def test_the_worker_is_where_a_probe_looks() -> None:
    """In the image's environment, and in the PATH of a session by ssh, which has not the image's."""
    assert "python3 -m venv /opt/job-runner" in TEXT
    assert "/opt/job-runner/bin/job-runner" in _LOOK
    assert re.search(r"ln --symbolic /opt/job-runner/bin/job-runner \S+ /usr/local/bin/", TEXT)


def test_it_has_what_the_dead_man_and_ssh_need() -> None:
    """And the engine that a graphics card is rented for."""
    assert '".[qwen]"' in TEXT
    installed = TEXT.rpartition("FROM ")[2]
    for package in ("curl", "ca-certificates", "openssh-server", "sox"):
        assert re.search(rf"install .*\b{package}\b", installed)


def test_the_weights_are_where_the_engine_looks_and_are_of_a_model_that_it_knows() -> None:
    """In the cache of root's home: a session by ssh has none of the image's variables to find another place."""
    (model,) = re.findall(r"^ARG QWEN_MODEL=(\S+)$", TEXT, re.MULTILINE)
    assert model == name_of("speaker")
    (copied,) = re.findall(r"^COPY --from=build (\S*huggingface) \1$", TEXT, re.MULTILINE)
    here = WeightsHere.of_environment({"HOME": "/root"})
    assert str(here.cache).removeprefix(str(Path.home())) == copied.removeprefix("/root") + "/hub"


def test_the_engine_is_installed_without_pins_that_contradict_its_own() -> None:
    """The core as it is tested; then the engine, whose torch brings the CUDA of the base image."""
    pinned, free = re.findall(r"bin/pip install (.*?)(?: \\)?$", TEXT, re.MULTILINE)
    assert pinned.startswith("--constraint constraints.txt .")
    assert "qwen" not in pinned
    assert re.fullmatch(r'"\.\[qwen\]" torch==2\.8\.\d torchaudio==2\.8\.\d', free)
    assert set(re.findall(r"^FROM nvidia/cuda:([\d.]+)-", TEXT, re.MULTILINE)) == {"12.8.1"}


def test_each_machine_makes_its_own_host_keys() -> None:
    """By the service's script, or by the image's own command, which is what answers ssh then."""
    assert "echo 'ssh-keygen -A >/dev/null' >>/etc/default/ssh" in TEXT
    assert re.search(r'^CMD .*ssh-keygen -A && exec /usr/sbin/sshd -D -e"\]$', TEXT, re.MULTILINE)


def test_it_holds_no_secret_and_no_host_key() -> None:
    """Two machines with one host key could stand for each other; a variable for a secret would be read by all."""
    assert "rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*" in TEXT.rpartition("FROM ")[2]
    assert not re.search(r"^(ENV|ARG) .*(KEY|SECRET|TOKEN|PASSWORD|URL)", TEXT, re.MULTILINE)
    assert all(re.search(r":\d[\w.-]+", line) for line in re.findall(r"^FROM .*$", TEXT, re.MULTILINE))


def test_only_what_the_builder_is_given_is_copied() -> None:
    """The same as for the watcher's image: .dockerignore lets by what both copy, and nothing else."""
    copied = [re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for text in (TEXT, watchers_image())]
    assert copied[0] == copied[1]


def watchers_image() -> str:
    """The other Dockerfile."""
    return (HOUSE / "Dockerfile").read_text()
