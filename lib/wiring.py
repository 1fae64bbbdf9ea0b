"""From settings to concrete objects: the only place that picks classes.

Both faces call it once at start and pass on what they get. It opens no connection by itself (a client connects
at its first command) and decides nothing. Imports are inside the functions because `job-runner status` must not
pay for the models of `enqueue`, nor `plan` for a Redis client.
"""

# ruff: noqa: PLC0415 - see above: each function imports what it alone needs

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from lib.clock import Clock
    from lib.jobqueue import Catalogue
    from lib.market.base import GpuMarket
    from lib.redisqueue.connection import Client
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings
    from lib.stores.artifacts import ArtifactStore
    from lib.stores.cache import ArtifactCache
    from lib.tasks.registry import TaskRegistry
    from lib.voice_synth.clip_folder import ClipFolder
    from lib.voice_synth.library import VoiceLibrary


def open_queue(settings: Settings) -> Queue:
    """The queue of these settings; whoever opens it closes `queue.client` in the same event loop.

    Raises:
        UnreachableError: the URL is none, or the bundled server that is meant is stopped.

    """
    from lib.redisqueue.connection import connect
    from lib.redisqueue.queue import Queue

    if settings.redis_url_source == "embedded":
        from lib import embedded

        embedded.require_running(settings.jobs_state_dir)
    client = connect(settings.redis_url, prefix=settings.jobs_prefix)
    return Queue.over(client, settings.redis_url, settings.jobs_prefix)


@asynccontextmanager
async def opened_queue(settings: Settings) -> AsyncIterator[Queue]:
    """The queue for the length of a block."""
    queue = open_queue(settings)
    try:
        yield queue
    finally:
        await queue.client.aclose()


def open_blocking(settings: Settings, *, block_seconds: float) -> Client:
    """A client of its own for reads that block up to `block_seconds`."""
    from lib.redisqueue.connection import connect

    return connect(settings.redis_url, block_seconds=block_seconds, prefix=settings.jobs_prefix)


def catalogue(settings: Settings) -> Catalogue:
    """What kinds of job may be submitted: the built-in ones and those of JOBS_TASK_MODULES."""
    from lib.jobqueue import BUILT_IN

    if not settings.jobs_task_modules:
        return BUILT_IN
    from lib.tasks.registry import load_task_modules

    return BUILT_IN.with_kinds(*(task.kind for task in load_task_modules(settings.jobs_task_modules)))


def tasks(settings: Settings) -> TaskRegistry:
    """The tasks that can run here: the built-in ones and those of JOBS_TASK_MODULES."""
    from lib.tasks.registry import TaskRegistry, built_in_tasks, load_task_modules

    built_in = built_in_tasks(settings.database_url, settings.watcher_corpus_root)
    return TaskRegistry((*built_in, *load_task_modules(settings.jobs_task_modules)))


def artifacts(settings: Settings, *, on_secrets: Callable[[Collection[str]], None] = lambda _: None) -> ArtifactStore:
    """Where outputs go: the bucket of the settings, else the directory; `on_secrets` is told a bucket's credentials."""
    if settings.s3_bucket:
        from lib.stores.s3 import S3Artifacts
        from lib.stores.s3_client import Bucket

        return S3Artifacts(
            Bucket(settings.s3_bucket, settings.s3_endpoint_url, on_secrets=on_secrets), settings.s3_prefix
        )
    from lib.stores.artifacts import LocalArtifacts

    return LocalArtifacts(settings.watcher_output_root)


def artifact_cache(
    settings: Settings, *, on_secrets: Callable[[Collection[str]], None] = lambda _: None
) -> ArtifactCache:
    """What is made already: the entries beside the files of the same store."""
    if settings.s3_bucket:
        from lib.stores.cache_s3 import ListedBucket, S3Cache

        bucket = ListedBucket(settings.s3_bucket, settings.s3_endpoint_url, on_secrets=on_secrets)
        return S3Cache(bucket, settings.s3_prefix)
    from lib.stores.cache_disk import DiskCache

    return DiskCache(settings.watcher_output_root)


def clips(settings: Settings) -> ClipFolder:
    """The sentences that were spoken on this machine."""
    from lib.voice_synth.clip_folder import ClipFolder

    return ClipFolder.of_machine(settings.jobs_state_dir, settings.sentence_cache_bytes)


def markets(settings: Settings, clock: Clock) -> dict[str, GpuMarket]:
    """Where machines are rented, by name: `ssh` for hosts of one's own, `vast`; none where nothing is set."""
    found: dict[str, GpuMarket] = {}
    if settings.ssh_hosts:
        from lib.market.ssh import SshHosts

        found["ssh"] = SshHosts(settings.ssh_hosts, clock)
    if settings.vast_api_key:
        from lib.market.vast import VastMarket

        found["vast"] = VastMarket(settings.vast_api_key, clock=clock, url=settings.vast_url)
    return found


def cloud_price(settings: Settings) -> Callable[[str, float, float], float]:
    """Dollars of (task, input tokens, output tokens) with the cloud's models and prices of these settings.

    Raises:
        SettingsError: PRICES_FILE is not what it must be.

    """
    from lib.money import MICRO
    from lib.routing.prices import load_prices
    from lib.setting_fields.compute import NO_SPEECH

    table = load_prices(settings.prices_file)
    text = table.of(settings.gemini_model)
    speech = text if settings.gemini_speech_model == NO_SPEECH else table.of(settings.gemini_speech_model)

    def price(task: str, input_tokens: float, output_tokens: float) -> float:
        model = speech if task == "speak" else text
        return (model.input * input_tokens + model.output * output_tokens) / MICRO

    return price


def voices(settings: Settings, *, check_files: bool = False) -> VoiceLibrary:
    """The voices that jobs may name: the built-in one and those of WATCHER_VOICES_DIR; `check_files` for who speaks."""
    from lib.voice_synth.library import VoiceLibrary

    return VoiceLibrary(settings.watcher_voices_dir, check_files=check_files)
