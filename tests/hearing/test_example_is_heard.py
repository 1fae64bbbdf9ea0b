"""Every line of the example file, spoken as a watcher speaks it, is understood by a listener."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.capabilities.speech import WarmEngines
from lib.jobqueue import normalize_job_spec
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.request import request_of_job
from lib.voice_synth.takes import Speaking
from tests.hearing.hearing import MOST_WRONG_WORDS, transcribe, word_error_rate

EXAMPLE = Path(__file__).parents[2] / "jobs.example.yaml"


def rows() -> list[dict[str, Any]]:
    """The rows of the example with its defaults."""
    document = yaml.load(EXAMPLE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return [{**document["defaults"], **row} for row in document["jobs"]]


@pytest.fixture(scope="module")
def engines() -> WarmEngines:
    """The engines of one process, warm for all rows."""
    return WarmEngines(make_engine)


@pytest.mark.hearing
@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row["output_name"]))
def test_each_line_is_understood(row: dict[str, Any], engines: WarmEngines, tmp_path: Path) -> None:
    """Each take has at most a quarter of its words wrong."""
    job = normalize_job_spec(row)
    speaking = Speaking(request_of_job(job), engines, tmp_path)
    for _ in speaking.steps():
        pass
    assert job.text is not None
    sounds = [file.path for file in speaking.report().files if file.path.suffix == ".wav"]
    assert len(sounds) == job.variants + job.select_best
    for sound in sounds:
        heard = transcribe(sound)
        assert word_error_rate(job.text, heard) <= MOST_WRONG_WORDS, heard


@pytest.mark.hearing
def test_the_listener_is_not_deaf(engines: WarmEngines, tmp_path: Path) -> None:
    """Another text than the one spoken is far beyond the limit: the measure can fail."""
    job = normalize_job_spec(rows()[0])
    speaking = Speaking(request_of_job(job), engines, tmp_path)
    for _ in speaking.steps():
        pass
    heard = transcribe(tmp_path / "take_01.wav")
    assert word_error_rate(rows()[1]["text"], heard) > 2 * MOST_WRONG_WORDS
