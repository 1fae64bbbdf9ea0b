"""Settings: every wrong value is named at start, with what is allowed, and none is guessed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import SettingsError
from lib.jobqueue.callback_urls import callback_url_problem
from lib.setting_values import DEFAULT_REDIS_URL
from lib.settings import Settings, variable_name, variables

CANARY = "canary-value-0123456789"


def load(**environ: str) -> Settings:
    """From exactly these variables; a home that does not exist."""
    return Settings.load({"HOME": "/nowhere", **environ})


def refusal(**environ: str) -> str:
    """The message of the error that loading these raises."""
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    return caught.value.message


def test_defaults_are_those_of_the_contract() -> None:
    """Nothing set: the documented defaults."""
    settings = load()
    assert settings.redis_url == DEFAULT_REDIS_URL == "redis://127.0.0.1:6379/0"
    assert settings.redis_url_source == "default"
    assert settings.jobs_prefix == "pab"
    assert settings.jobs_durability == "memory"
    assert settings.jobs_max_file_bytes == 64 * 1024 * 1024
    assert settings.jobs_max_job_bytes == 256 * 1024
    assert settings.watcher_session_ttl == 20.0
    assert settings.watcher_session_renew_every == 3.0
    assert settings.watcher_poll_interval == 5.0
    assert settings.watcher_margin == 2.0
    assert settings.watcher_lease_idle_ms == 180_000
    assert (settings.watcher_max_attempts, settings.watcher_max_crashes) == (3, 3)
    assert (settings.metal_concurrency, settings.metal_queue_max) == (1, 2)
    assert settings.callback_secret == ""
    assert settings.callback_allowed_hosts == settings.jobs_task_modules == ()


def test_directories_lie_in_the_state_directory() -> None:
    """One variable moves everything that belongs to this machine."""
    settings = load(JOBS_STATE_DIR="/srv/state", WATCHER_WORK_DIR="/fast/work")
    assert settings.watcher_voices_dir == Path("/srv/state/voices")
    assert settings.watcher_output_root == Path("/srv/state/output")
    assert settings.watcher_work_dir == Path("/fast/work")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/nowhere/.local/state/job-runner"),
        ({"XDG_STATE_HOME": "/xdg"}, "/xdg/job-runner"),
        ({"XDG_STATE_HOME": "relative"}, "/nowhere/.local/state/job-runner"),
        ({"JOBS_STATE_DIR": "/mine", "XDG_STATE_HOME": "/xdg"}, "/mine"),
    ],
)
def test_state_directory_follows_xdg(environ: dict[str, str], expected: str) -> None:
    """The XDG place, whose rules say that a relative path counts as unset."""
    assert load(**environ).jobs_state_dir == Path(expected)


def test_values_are_read_with_their_types() -> None:
    """Numbers, lists and paths; blanks around them and empty parts do not matter."""
    settings = load(
        WATCHER_POLL_INTERVAL=" 0.5 ",
        METAL_CONCURRENCY="4",
        JOBS_TASK_MODULES="my_tasks, team.more,,",
        CALLBACK_ALLOWED_HOSTS="hooks.example.org,10.0.0.5:8080",
        JOBS_PREFIX="{pab}",
        JOBS_DURABILITY="replicated:2",
    )
    assert settings.watcher_poll_interval == 0.5
    assert settings.metal_concurrency == 4
    assert settings.jobs_task_modules == ("my_tasks", "team.more")
    assert settings.callback_allowed_hosts == ("hooks.example.org", "10.0.0.5:8080")
    assert settings.jobs_prefix == "{pab}"
    assert settings.jobs_durability == "replicated:2"


@pytest.mark.parametrize("url", ["http://[fd00::1]:8080/x", "https://[2001:db8::1]/x", "https://my_host.example/x"])
def test_what_a_refused_callback_url_asks_for_can_be_set(url: str) -> None:
    """The entry that its error names is one that CALLBACK_ALLOWED_HOSTS takes, and then it is allowed."""
    entry = str(callback_url_problem(url, ())).partition("add '")[2].partition("'")[0]
    hosts = load(CALLBACK_ALLOWED_HOSTS=f"a.example,{entry}").callback_allowed_hosts
    assert callback_url_problem(url, hosts) is None


def test_a_host_of_ones_own_may_name_any_port_that_there_is() -> None:
    """Also with a user, or by an address."""
    hosts = ("desk2", "me@desk2:1", "me@studio.example:65535", "[2001:db8::1]:2222", "10.0.0.7:65499")
    assert load(SSH_HOSTS=",".join(hosts)).ssh_hosts == hosts


def test_empty_means_unset() -> None:
    """`NAME=` in a .env file is the default, not an empty value."""
    assert load(**{variable_name(each): "" for each in variables()}) == load()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("REDIS_URL", "localhost:6379", "redis://HOST:PORT/DB"),
        ("REDIS_URL", "redis://host:notaport/0", "redis://HOST:PORT/DB"),
        ("REDIS_URL", "unix://", "unix:///path"),
        ("JOBS_PREFIX", "a b", "letters, digits"),
        ("SSH_HOSTS", "me@desk2:65536", "a port from 1 to 65535"),
        ("SSH_HOSTS", "desk2,me@studio:0", "a port from 1 to 65535"),
        ("SSH_HOSTS", "me@[::1]:99999", "a port from 1 to 65535"),
        ("JOBS_PREFIX", "{a}{b}", "at most one {part} in braces"),
        ("JOBS_DURABILITY", "replicated:0", "memory, fsynced or replicated:N"),
        ("JOBS_MAX_JOB_BYTES", "1e6", "a whole number"),
        ("WATCHER_SESSION_TTL", "nan", "seconds, from 1 to 3600"),
        ("WATCHER_SESSION_TTL", "20s", "seconds, from 1 to 3600"),
        ("WATCHER_POLL_INTERVAL", "inf", "seconds"),
        ("WATCHER_MAX_ATTEMPTS", "0", "a whole number from 1 to 1000"),
        ("METAL_CONCURRENCY", "1_0", "a whole number from 1 to 256"),
        ("METAL_CONCURRENCY", "٣", "a whole number from 1 to 256"),
        ("WATCHER_OUTPUT_ROOT", __file__, "a directory"),
        ("JOBS_TASK_MODULES", "my-tasks", "import paths"),
        ("CALLBACK_ALLOWED_HOSTS", "https://x.org/", "host names"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    """The message names the variable, the value (unless secret) and what is allowed."""
    message = refusal(**{name: value})
    assert message.startswith(f"{name} is ")
    assert repr(value) in message or name == "REDIS_URL"
    assert allowed in message


def test_all_wrong_values_are_named_at_once() -> None:
    """Three mistakes, three lines."""
    message = refusal(METAL_QUEUE_MAX="none", WATCHER_SESSION_TTL="-1", JOBS_DURABILITY="disk")
    assert [line.split()[0] for line in message.splitlines()] == [
        "JOBS_DURABILITY",
        "WATCHER_SESSION_TTL",
        "METAL_QUEUE_MAX",
    ]


def test_sessions_must_outlive_renewal_sweeps_and_margin() -> None:
    """Renewal + 2 sweeps + a tenth must stay under the session's life, or the living would be reaped."""
    assert load(WATCHER_SESSION_TTL="14.5").watcher_session_ttl == 14.5
    message = refusal(WATCHER_SESSION_TTL="14")
    for name in ("WATCHER_SESSION_RENEW_EVERY", "WATCHER_POLL_INTERVAL", "WATCHER_SESSION_TTL"):
        assert name in message


def test_the_rule_between_times_has_no_gap_at_equality() -> None:
    """Exactly equal is refused: 1 + 2 x 4 + 1 is not less than 10."""
    assert "less than" in refusal(WATCHER_SESSION_TTL="10", WATCHER_SESSION_RENEW_EVERY="1", WATCHER_POLL_INTERVAL="4")


class TestRedisUrl:
    """Which server is used, and that the program can say why."""

    def test_flag_wins_over_everything(self) -> None:
        """`--redis-url` beats the environment."""
        settings = Settings.load({"REDIS_URL": "redis://env:1/0"}, redis_url="redis://flag:2/0")
        assert (settings.redis_url, settings.redis_url_source) == ("redis://flag:2/0", "flag")

    def test_a_wrong_flag_is_refused(self) -> None:
        """The flag is checked like the variable."""
        with pytest.raises(SettingsError, match="REDIS_URL"):
            Settings.load({}, redis_url="")

    def test_environment_wins_over_the_bundled_server(self, tmp_path: Path) -> None:
        """A named server is used even when the bundled one runs."""
        (tmp_path / "server.json").write_text(json.dumps({"url": "redis://127.0.0.1:7777/0"}))
        settings = load(JOBS_STATE_DIR=str(tmp_path), REDIS_URL="rediss://far:6380/1")
        assert (settings.redis_url, settings.redis_url_source) == ("rediss://far:6380/1", "environment")

    def test_a_stopped_bundled_server_is_still_the_one_that_is_meant(self, tmp_path: Path) -> None:
        """Its jobs are in there; a Redis on the default port is somebody else's."""
        (tmp_path / "valkey").mkdir()
        (tmp_path / "valkey" / "launch.json").write_text(json.dumps({"port": 7778, "fsync": "everysec"}))
        settings = load(JOBS_STATE_DIR=str(tmp_path))
        assert (settings.redis_url, settings.redis_url_source) == ("redis://127.0.0.1:7778/0", "embedded")

    def test_bundled_server_is_found_by_its_file(self, tmp_path: Path) -> None:
        """Unset, with a started bundled server in the state directory: that one."""
        (tmp_path / "server.json").write_text(json.dumps({"url": "redis://127.0.0.1:7777/0"}))
        settings = load(JOBS_STATE_DIR=str(tmp_path))
        assert (settings.redis_url, settings.redis_url_source) == ("redis://127.0.0.1:7777/0", "embedded")

    @pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"url": 7}', '{"port": 1}', "\xff"])
    def test_an_unreadable_address_file_counts_as_none(self, tmp_path: Path, content: str) -> None:
        """Half a file, or another program's, never stops a start."""
        (tmp_path / "server.json").write_bytes(content.encode("latin-1"))
        assert load(JOBS_STATE_DIR=str(tmp_path)).redis_url_source == "default"


class TestSecrets:
    """A secret is shown nowhere."""

    def test_not_in_repr_and_not_in_errors(self) -> None:
        """Neither the object nor an error about another variable shows it."""
        url = f"redis://user:{CANARY}@host:1/0"
        settings = load(CALLBACK_SECRET=CANARY, REDIS_URL=url)
        assert CANARY not in repr(settings)
        assert CANARY not in refusal(CALLBACK_SECRET=CANARY, REDIS_URL=f"{url}:x", METAL_QUEUE_MAX="0")

    def test_a_short_secret_is_refused_without_being_shown(self) -> None:
        """Too short to sign with; the message does not repeat it."""
        message = refusal(CALLBACK_SECRET="hunter2")  # noqa: S106 - made up
        assert "hunter2" not in message
        assert "at least 16 characters" in message

    def test_values_to_blacken_include_the_password_as_written_and_as_meant(self) -> None:
        """The log's redaction gets each secret, and a URL's password also decoded."""
        settings = load(CALLBACK_SECRET=CANARY, REDIS_URL="redis://u:p%40ss@host:1/0")
        assert set(settings.secret_values()) == {CANARY, "p%40ss", "p@ss"}
        assert load().secret_values() == ()


class TestDotenv:
    """`.env` of the working directory."""

    def test_is_read_and_the_environment_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A value in the environment beats the file's; the file beats the default."""
        (tmp_path / ".env").write_text("METAL_CONCURRENCY=3\nexport METAL_QUEUE_MAX='5' # why\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("METAL_CONCURRENCY", "7")
        monkeypatch.delenv("METAL_QUEUE_MAX", raising=False)
        settings = Settings.load()
        assert (settings.metal_concurrency, settings.metal_queue_max) == (7, 5)

    def test_leaves_the_environment_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the file says is not handed to child processes."""
        (tmp_path / ".env").write_text("METAL_QUEUE_MAX=5\n")
        monkeypatch.chdir(tmp_path)
        script = (
            "import os; from lib.settings import Settings; Settings.load(); print(os.environ.get('METAL_QUEUE_MAX'))"
        )
        said = subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(tmp_path)},
        )
        assert said.stdout.strip() == "None"


def test_loads_nothing_heavy() -> None:
    """`job-runner status` must start fast: settings bring in no third-party module at all."""
    script = "import sys; before = set(sys.modules); import lib.settings; print(*sorted(set(sys.modules) - before))"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in said.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) == {"lib"}


def test_every_variable_says_its_unit_and_reason() -> None:
    """The declaration is the documentation."""
    for each in variables():
        assert each.metadata["unit"], each.name
        assert len(each.metadata["why"].split()) >= 4, each.name


def test_settings_do_not_change() -> None:
    """One object is shared by all parts of a process."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().jobs_prefix = "other"  # type: ignore[misc] # the point of the test


@given(st.sampled_from([variable_name(each) for each in variables()]), st.text(max_size=40))
def test_no_text_is_ever_another_error(name: str, value: str) -> None:
    """Whatever stands in a variable, loading gives settings or a SettingsError, nothing else."""
    try:
        Settings.load({"HOME": "/nowhere", name: value})
    except SettingsError as error:
        message = error.message
    else:
        message = name
    assert name in message or "WATCHER_SESSION_TTL" in message


def test_a_dead_man_that_is_nearer_than_a_sessions_end_is_refused_where_machines_are_rented() -> None:
    """Else a machine would end itself while its watcher only pauses; whoever rents nothing may leave it as it is."""
    said = refusal(VAST_API_KEY="vast-of-a-test-0123456789", VAST_DEAD_MAN="25")
    assert "VAST_DEAD_MAN (25) must be more than WATCHER_SESSION_TTL (20) + WATCHER_POLL_INTERVAL (5)" in said
    assert load(VAST_DEAD_MAN="25").vast_dead_man == 25.0
