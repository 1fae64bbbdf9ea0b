"""The picture: one row a slot, one bar an attempt, readable by people and by machines."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from lib.routing.timeline import Bar, clock, draw

SVG = "{http://www.w3.org/2000/svg}"


def parsed(bars: list[Bar], title: str = "a run") -> ET.Element:
    """The picture, read again."""
    return ET.fromstring(draw(bars, title))  # noqa: S314 - our own text


def texts(picture: ET.Element) -> list[str]:
    """All that is written in it."""
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def bars_of(picture: ET.Element) -> list[ET.Element]:
    """The drawn bars, in the order in which they begin."""
    return [element for element in picture.iter(f"{SVG}rect") if element.get("class") != "ground"]


def test_each_attempt_is_a_bar_at_its_time() -> None:
    """As wide as it is long, behind what came before it."""
    first, second = bars_of(parsed([Bar("metal", "desk 1", 0, 100, "a"), Bar("metal", "desk 1", 100, 300, "b")]))
    assert float(second.get("width", 0)) == pytest.approx(2 * float(first.get("width", 0)), abs=2)
    assert float(second.get("x", 0)) == pytest.approx(
        float(first.get("x", 0)) + float(first.get("width", 0)) + 1, abs=0.2
    )
    assert first.get("y") == second.get("y")


def test_rows_are_grouped_by_backend_metal_first_and_slots_count_as_numbers() -> None:
    """Slot 2 stands above slot 10."""
    slots = [("cloud", "api 10"), ("cloud", "api 2"), ("metal", "desk 1"), ("vast", "gpu 1")]
    written = texts(parsed([Bar(backend, slot, 0, 9, "") for backend, slot in slots]))
    order = ["metal", "desk 1", "cloud", "api 2", "api 10", "vast", "gpu 1"]
    assert [each for each in written if each in order] == order


def test_a_failure_is_told_by_more_than_a_colour() -> None:
    """By a stroke, and in words where the pointer rests."""
    picture = parsed([Bar("cloud", "api 1", 0, 50, "x", "failed"), Bar("cloud", "api 1", 60, 90, "x", "retried")])
    assert [bar.get("class") for bar in bars_of(picture)] == ["cloud failed", "cloud retried"]
    told = [element.text for element in picture.iter(f"{SVG}title")]
    assert "x: cloud, 0 s to 50 s, failed" in told
    assert "x: cloud, 1:00 to 1:30, retried" in told


def test_labels_are_text_and_nothing_else() -> None:
    """What a job is called cannot add elements, and control characters are no XML."""
    picture = parsed([Bar("metal", "desk 1", 0, 100, "<script>&\x07")], "5 < 6 & \x1b[31m")
    assert "<script>&\N{REPLACEMENT CHARACTER}" in texts(picture)
    assert not list(picture.iter("script"))


def test_a_label_that_does_not_fit_is_left_to_the_tooltip() -> None:
    """A hundred narrow bars stay readable."""
    bars = [Bar("metal", "desk 1", i, i + 1, f"job-{i:03}") for i in range(200)]
    picture = parsed(bars)
    assert "job-007" not in texts(picture)
    assert "job-007: metal, 7 s to 8 s, done" in [element.text for element in picture.iter(f"{SVG}title")]


def test_an_empty_run_is_a_picture_too() -> None:
    """Nothing ran: a title and a ground."""
    picture = parsed([], "nothing")
    assert "nothing" in texts(picture)
    assert bars_of(picture) == []


def test_it_can_be_read_on_a_dark_ground() -> None:
    """It brings a style of its own for both."""
    assert "prefers-color-scheme: dark" in draw([], "t")
    assert draw([], "t") == draw([], "t"), "the same run gives the same bytes"


@pytest.mark.parametrize("end", [0.5, 30, 500, 4000, 90_000, 10_000_000])
def test_the_axis_has_a_few_ticks_whatever_the_length(end: float) -> None:
    """From half a second to months."""
    picture = parsed([Bar("metal", "desk 1", 0, end, "x")])
    assert 1 <= len(list(picture.iter(f"{SVG}line"))) <= 12


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (125, "2:05"), (3725, "1:02:05")])
def test_times_are_told_as_people_read_them(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert clock(seconds) == text
