"""A model that draws its noise inside is given it from outside, so that one seed gives the same samples everywhere.

The runtime seeds the noise of a model once, when the model is loaded, and goes on from there: what a take sounds like
would depend on all that was spoken before. Here each node that draws normal noise (`RandomNormalLike`) is replaced in
the model's bytes by a slice of a new input, as long as the tensor it was like; the rest of the model stays byte for
byte. It reads the protobuf wire format by hand, three kinds of field of it, because the library for it would be a
large dependency for so little. `lib.voice_synth.engines.piper` calls it.

    y = RandomNormalLike(x)    becomes    shape = Shape(x);  y = Slice(noise, starts=zeros, ends=shape)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NOISE_PREFIX: Final = "job_runner_noise_"
ZEROS: Final = "job_runner_zeros"
"""The input that says where slices begin: int64 zeros, one a dimension."""

NOISE_DIMENSIONS: Final = 3
"""Batch, channel, time: what the models here draw noise for."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Numbers of fields in onnx.proto.
_MODEL_GRAPH: Final = 7
_GRAPH_NODE, _GRAPH_INPUT = 1, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP = 1, 2, 4
_FLOAT, _INT64 = 1, 7


class ModelFormatError(ValueError):
    """The bytes are no ONNX model that can be read."""


class NoiseFromOutside(NamedTuple):
    """A model and the names of the inputs that want noise, in the order of its nodes."""

    model: bytes
    inputs: tuple[str, ...]
    left_inside: tuple[str, ...]
    """Kinds of random node that stay as they are, as nobody here knows their shape."""


class _Field(NamedTuple):
    number: int
    value: memoryview
    """What follows the length, for a field of bytes; else empty."""
    whole: memoryview


def noise_from_outside(model: bytes) -> NoiseFromOutside:
    """The model with its noise as inputs.

    Raises:
        ModelFormatError: it cannot be read.

    """
    inputs: list[str] = []
    left: list[str] = []
    parts: list[bytes | memoryview] = []
    try:
        for field in _fields(memoryview(model)):
            if field.number == _MODEL_GRAPH:
                parts.append(_bytes_field(_MODEL_GRAPH, _graph(field.value, inputs, left)))
            else:
                parts.append(field.whole)
    except ValueError as exc:  # a name that is no text, or a node without its one tensor
        raise ModelFormatError(str(exc)) from exc
    return NoiseFromOutside(b"".join(parts), tuple(inputs), tuple(left))


def _graph(graph: memoryview, inputs: list[str], left: list[str]) -> bytes:
    parts: list[bytes | memoryview] = []
    for field in _fields(graph):
        if field.number != _GRAPH_NODE:
            parts.append(field.whole)
            continue
        kind = "".join(_texts(field.value, _NODE_OP))
        if kind != "RandomNormalLike":
            left += [kind] if kind.startswith(("Random", "Bernoulli", "Multinomial")) else []
            parts.append(field.whole)
            continue
        name = f"{NOISE_PREFIX}{len(inputs)}"
        inputs.append(name)
        (like,), (output,) = _texts(field.value, _NODE_INPUT), _texts(field.value, _NODE_OUTPUT)
        parts.append(_node("Shape", [like], f"{name}_shape"))
        parts.append(_node("Slice", [name, ZEROS, f"{name}_shape"], output))
    parts.extend(
        _input(name, _FLOAT, [f"{name}_{dimension}" for dimension in range(NOISE_DIMENSIONS)]) for name in inputs
    )
    if inputs:
        parts.append(_input(ZEROS, _INT64, [f"{ZEROS}_0"]))
    return b"".join(parts)


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    named = b"".join(_bytes_field(_NODE_INPUT, name.encode()) for name in inputs)
    return _bytes_field(
        _GRAPH_NODE,
        named + _bytes_field(_NODE_OUTPUT, output.encode()) + _bytes_field(_NODE_OP, kind.encode()),
    )


def _input(name: str, element: int, dimensions: list[str]) -> bytes:
    # ValueInfoProto{name=1, type=2{tensor_type=1{elem_type=1, shape=2{dim=1{dim_param=2}}}}}
    shape = b"".join(_bytes_field(1, _bytes_field(2, dimension.encode())) for dimension in dimensions)
    tensor = bytes([1 << 3 | _VARINT, element]) + _bytes_field(2, shape)
    return _bytes_field(_GRAPH_INPUT, _bytes_field(1, name.encode()) + _bytes_field(2, _bytes_field(1, tensor)))


def _texts(message: memoryview, number: int) -> list[str]:
    return [str(field.value, "utf-8") for field in _fields(message) if field.number == number]


def _fields(message: memoryview) -> Iterator[_Field]:
    at, end = 0, len(message)
    while at < end:
        start = at
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value = message[at:at]
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
            value = message[at : at + length]
            at += length
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ModelFormatError(f"a field of the unknown kind {kind}")
        if at > end:
            raise ModelFormatError("it is cut off")
        yield _Field(number, value, message[start:at])


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise ModelFormatError("it is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the continuation bit
            return value, at
        shift += 7


def _bytes_field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 127:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
