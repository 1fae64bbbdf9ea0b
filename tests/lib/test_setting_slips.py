"""Variables that are nearly settings: each slip is found, and what a system sets by itself is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.setting_slips import misspelt
from lib.settings import variable_name, variables

if TYPE_CHECKING:
    from pathlib import Path

USUAL = """
LANG LC_ALL PATH HOME USER SHELL TERM PWD OLDPWD HOSTNAME EDITOR DISPLAY TZ TMPDIR XDG_STATE_HOME XDG_CONFIG_HOME
SSH_AUTH_SOCK DBUS_SESSION_BUS_ADDRESS VIRTUAL_ENV PYTHONPATH PYTEST_CURRENT_TEST PYTEST_XDIST_WORKER CI NO_COLOR
AWS_REGION AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ENDPOINT_URL_S3 AWS_S3_BUCKET
GOOGLE_API_KEY GOOGLE_CLOUD_PROJECT GOOGLE_APPLICATION_CREDENTIALS GEMINI_CLI_HOME GEMINI_SANDBOX GEMINI_SYSTEM_MD
GEMINI_CLI_IDE_SERVER_PORT GEMINI_TELEMETRY_ENABLED OPENAI_API_KEY OLLAMA_MODELS OLLAMA_KEEP_ALIVE OLLAMA_NUM_PARALLEL
REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_TLS_URL DATABASE_URI TEST_DATABASE_URL POSTGRES_PASSWORD CELERY_BROKER_URL
METAL_DEVICE_WRAPPER_TYPE CLOUD_SHELL CLOUDSDK_CONFIG WATCHER_SERVICE_HOST WATCHER_PORT JOBS_COUNT JOB_NAME BUILD_URL
S3_REGION S3_ENDPOINT_URL_LOCAL_STACK WORK_DIR BUCKET PREFIX KUBERNETES_SERVICE_HOST INVOCATION_ID JOURNAL_STREAM
JOB_RUNNER_DEBUG JOB_RUNNER_RUN _JOB_RUNNER_COMPLETE PRICE BUDGET GEMINI CALLBACK_URL
"""


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("BUDGET_PER_DY_USD", "BUDGET_PER_DAY_USD"),
        ("BUDGET_PER_DAY", "BUDGET_PER_DAY_USD"),
        ("GEMINI_API_KY", "GEMINI_API_KEY"),
        ("GEMINI_APIKEY", "GEMINI_API_KEY"),
        ("REDIS_ULR", "REDIS_URL"),
        ("PRICE_FILE", "PRICES_FILE"),
        ("OLLAMA_MDEL", "OLLAMA_MODEL"),
        ("CLOUD_CONCURENCY", "CLOUD_CONCURRENCY"),
        ("METAL_CONCURENCY", "METAL_CONCURRENCY"),
        ("JOBS_PREFX", "JOBS_PREFIX"),
        ("WATCHER_SESION_TTL", "WATCHER_SESSION_TTL"),
    ],
)
def test_a_slip_is_found(slip: str, meant: str) -> None:
    """Whatever its name begins with, with the name that was meant and never its value."""
    assert misspelt({slip: "a secret", "PATH": "/bin"}) == [(slip, meant)]


def test_what_others_set_is_left_alone() -> None:
    """Nobody can mend a false alarm at every command."""
    assert misspelt(dict.fromkeys(USUAL.split(), "x")) == []


def test_every_setting_is_itself_and_no_slip_of_another() -> None:
    """Also those that differ in one letter, as GEMINI_RPM and GEMINI_RPD."""
    names = [variable_name(variable) for variable in variables()]
    assert misspelt(dict.fromkeys(names, "x")) == []
    assert all(misspelt({name: "x"}) == [] for name in names)


def test_what_may_be_anybodys_is_told_only_while_the_setting_lacks() -> None:
    """A name of ours alone is told in any case: somebody wrote it for us."""
    assert misspelt({"DATABASE_URLS": "x"}) == [("DATABASE_URLS", "DATABASE_URL")]
    assert misspelt({"DATABASE_URLS": "x", "DATABASE_URL": "y"}) == []
    assert misspelt({"WATCHER_WORKDIR": "x", "WATCHER_WORK_DIR": "y"}) == [("WATCHER_WORKDIR", "WATCHER_WORK_DIR")]


def test_the_file_beside_the_work_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment it is the one of this process over `.env`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("BUDGET_PER_DY_USD=1\n")
    monkeypatch.setenv("METAL_QUEU_MAX", "2")
    assert misspelt() == [("BUDGET_PER_DY_USD", "BUDGET_PER_DAY_USD"), ("METAL_QUEU_MAX", "METAL_QUEUE_MAX")]
