"""Which file of a record is the one to listen to, and where a person finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service.outcomes import Speech, published_path, speech_of

if TYPE_CHECKING:
    from pathlib import Path


def _file(name: str) -> dict[str, Any]:
    return {"name": name, "uri": f"file:///out/.store/a/{name}", "bytes": 1, "sha256": "0" * 64}


def _takes(*seconds: float) -> list[dict[str, Any]]:
    return [{"file": f"take_{i:02d}.wav", "seconds": each} for i, each in enumerate(seconds, 1)]


def test_one_take() -> None:
    """The usual case."""
    record = {"outputs": {"takes": [_file("take_01.wav")]}, "result": {"takes": _takes(3.2), "selected_take": 1}}
    assert speech_of(record) == Speech("file:///out/.store/a/take_01.wav", "take_01.wav", 3.2, 0)


def test_the_best_of_three() -> None:
    """Its length is that of the take which was selected."""
    outputs = {"best": _file("best.wav"), "takes": [_file(f"take_0{i}.wav") for i in (1, 2, 3)]}
    record = {"outputs": outputs, "result": {"takes": _takes(1.0, 2.0, 3.0), "selected_take": 3}}
    assert speech_of(record) == Speech("file:///out/.store/a/best.wav", "best.wav", 3.0, 3)


def test_several_takes_without_a_best() -> None:
    """The first is shown, whatever number was selected, and the others are counted."""
    outputs = {"takes": [_file("take_01.wav"), _file("take_02.wav")]}
    record = {"outputs": outputs, "result": {"takes": _takes(1.0, 2.0), "selected_take": 2}}
    assert speech_of(record) == Speech("file:///out/.store/a/take_01.wav", "take_01.wav", 1.0, 1)


@pytest.mark.parametrize(
    "record",
    [{}, {"outputs": None}, {"outputs": {}}, {"outputs": {"takes": []}}, {"unreadable": "{"}, {"result": {"said": 1}}],
)
def test_no_audio(record: dict[str, Any]) -> None:
    """A job that does not speak, or failed, or was damaged."""
    assert speech_of(record) is None


@pytest.mark.parametrize(
    "result", [None, {}, {"takes": []}, {"takes": [{}]}, {"takes": _takes(1.0), "selected_take": 9}]
)
def test_a_length_that_nobody_told(result: dict[str, Any] | None) -> None:
    """Is unknown, not zero."""
    outputs = {"best": _file("best.wav"), "takes": [_file("take_01.wav")]}
    speech = speech_of({"outputs": outputs, "result": result})
    assert speech is not None
    assert speech.seconds is None or result == {"takes": _takes(1.0)}


def test_the_published_file_when_it_is_there(tmp_path: Path) -> None:
    """Else the stored one that the record names."""
    record = {"output_name": "story/one", "outputs": {"takes": [_file("take_01.wav")]}}
    speech = speech_of(record)
    assert speech is not None
    assert published_path(tmp_path, record, speech) == "/out/.store/a/take_01.wav"
    place = tmp_path / "story" / "one"
    place.mkdir(parents=True)
    (place / "take_01.wav").write_bytes(b"RIFF")
    assert published_path(tmp_path, record, speech) == str(place / "take_01.wav")
    assert published_path(tmp_path, {"outputs": record["outputs"]}, speech) == "/out/.store/a/take_01.wav"


def test_where_the_record_says_that_it_is_published(tmp_path: Path) -> None:
    """A watcher with another output root, or on another machine, is believed; what is only stored yet is shown so."""
    stored, published = tmp_path / "store.wav", tmp_path / "out" / "a" / "take_01.wav"
    take = _file("take_01.wav") | {"uri": stored.as_uri(), "published": published.as_uri()}
    record = {"output_name": "a", "outputs": {"takes": [take]}}
    speech = speech_of(record)
    assert speech is not None
    elsewhere = tmp_path / "elsewhere"
    assert published_path(elsewhere, record, speech) == str(published)
    stored.write_bytes(b"RIFF")
    assert published_path(elsewhere, record, speech) == str(stored)
    published.parent.mkdir(parents=True)
    published.write_bytes(b"RIFF")
    assert published_path(elsewhere, record, speech) == str(published)
