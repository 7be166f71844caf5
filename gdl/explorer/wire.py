"""The form in which page and server exchange tensors: a header that names them, then numbers."""

import json
import math
import struct
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["packed_tensors", "read_tensors"]

LENGTH = struct.Struct("<I")
HEADER_LIMIT = 10_000
"""Bytes of the header, at most."""


def packed_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return named tensors as bytes.

    The length of the header in four bytes, the header [{"name", "shape"}, ...] as JSON, then float32
    numbers, tensor by tensor. All numbers are little-endian.
    """
    shapes = [{"name": k, "shape": [*t.shape]} for k, t in tensors.items()]
    header = json.dumps(shapes, allow_nan=False).encode()
    numbers = (t.detach().float().cpu().contiguous().numpy() for t in tensors.values())
    parts = (n.astype("<f4", copy=False).tobytes() for n in numbers)
    return b"".join([LENGTH.pack(len(header)), header, *parts])


def read_tensors(body: bytes) -> dict[str, Tensor]:
    """Return the tensors, float32, that `packed_tensors` has made bytes of; they may come from anybody.

    Raises:
        GdlError: The bytes have another form.
    """
    specs, at = _header(body)
    found: dict[str, Tensor] = {}
    for name, shape in specs:
        size = math.prod(shape)
        if at + 4 * size > len(body):
            raise GdlError("The body ends before its tensors do.")
        numbers = np.frombuffer(body, "<f4", size, at).astype(np.float32)
        found[name] = torch.from_numpy(numbers).reshape(shape)
        at += 4 * size
    if at != len(body):
        raise GdlError("The body goes on behind its tensors.")
    return found


def _header(body: bytes) -> tuple[list[tuple[str, list[int]]], int]:
    """Return names and shapes of the tensors, and where their numbers start."""
    if len(body) < LENGTH.size:
        raise GdlError("The body has no header.")
    (length,) = LENGTH.unpack_from(body)
    end = LENGTH.size + length
    if length > HEADER_LIMIT or end > len(body):
        raise GdlError("The header does not end in the body.")
    try:
        header = json.loads(body[LENGTH.size : end])
        specs = [(entry["name"], entry["shape"]) for entry in header]
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise GdlError("The header is no JSON list of names and shapes.") from e
    for name, shape in specs:
        dims = isinstance(shape, list) and all(type(n) is int and 0 <= n < 2**31 for n in shape)
        if not (isinstance(name, str) and dims and len(shape) <= 8):
            raise GdlError("The header has a tensor without a name or with a shape that is none.")
    if len({name for name, _ in specs}) != len(specs):
        raise GdlError("The header names a tensor twice.")
    return specs, end
