"""The hash of what defines a job's output, and the identity of a request.

A cache of outputs is keyed by the content hash, and a second request under one id is a duplicate or a conflict by
the identity. So both must outlive versions: fields equal to their default are left out, and a field that a later
version adds changes no old hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import rfc8785

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "sha256:v1:"
_IDENTITY_BYTES: Final = 16

_encode_plain: Final = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def content_hash_of(content: Mapping[str, Any]) -> str:
    """`sha256:v1:<hex>` over the canonical JSON (RFC 8785) of `content`.

    Raises:
        ValueError: `content` holds what JSON cannot (NaN, an integer beyond 2**53, a lone surrogate).
    """
    return PREFIX + hashlib.sha256(canonical(content)).hexdigest()


def canonical(content: Mapping[str, Any]) -> bytes:
    """RFC 8785 bytes.

    A flat mapping of ASCII names to text, booleans and small integers, as almost every speech job is, has the
    same bytes from the standard encoder, which is written in C and ten times as fast.
    """
    if all(_is_plain(value) for value in content.values()):
        return _encode_plain(content).encode()
    return rfc8785.dumps(dict(content))


def _is_plain(value: object) -> bool:
    kind = type(value)
    return kind is str or kind is bool or (kind is int and -(2**31) < value < 2**31)  # type: ignore[operator]  # kind is int


def identity_of_parts(content_hash: str, output_name: str | None) -> str:
    """22 characters that are equal exactly when two requests under one id are the same request."""
    digest = hashlib.sha256(f"{content_hash}\0{output_name or ''}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:_IDENTITY_BYTES]).rstrip(b"=").decode()
