"""The header of a safetensors file: which tensors it holds and where, checked against the file and itself."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist import strict_json
from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.model.files import opened

_LARGEST_HEADER = 2**24
"""Bytes: a model of as many layers as there can be has so many. Read as JSON it takes some times as much memory."""
_MOST_DIMENSIONS = 32
_LENGTH = struct.Struct("<Q")
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor is.

    Attributes:
        file: the safetensors file.
        stored_name: its name in there, which may lack the model's prefix.
        shape: its shape.
        dtype: as safetensors writes it, such as ``BF16``.
        offset: of its first byte in the file.
    """

    file: Path
    stored_name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int


def read_header(file: Path) -> dict[str, Entry]:
    """Return the tensors of a safetensors file by their names in there.

    Raises:
        UsageError: when it cannot be read, or its header does not describe it byte by byte, as safetensors' own
            reader demands.
    """
    with opened(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            header, start = _parsed(stream.read(_LENGTH.size), stream.read, size)
            return _entries(file, header, start, size)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{file}: is not a complete safetensors file ({first_line(error)})") from error


def _parsed(prefix: bytes, read: Any, size: int) -> tuple[dict[str, Any], int]:
    """Return the header, and where the data begins."""
    if len(prefix) < _LENGTH.size:
        raise ValueError("it is shorter than any")
    (length,) = _LENGTH.unpack(prefix)
    start = _LENGTH.size + length
    if start > size:
        raise ValueError("its header goes beyond its end")
    if length > _LARGEST_HEADER:
        raise ValueError(f"its header is longer than {_LARGEST_HEADER / 2**20:g} MiB")
    header = strict_json.loads(read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    header.pop("__metadata__", None)
    return header, start


def _entries(file: Path, header: dict[str, Any], start: int, size: int) -> dict[str, Entry]:
    """Return the tensors, which follow each other without holes and end with the file."""
    places = sorted((_place(name, values), name) for name, values in header.items())
    end = 0
    for (first, last), name in places:
        if first != end:
            raise ValueError(
                f"{quoted(name)} begins at byte {first:,} of the data, where those before it end at {end:,}"
            )
        end = last
    if start + end != size:
        raise ValueError("its length is not what its header says")
    return {
        name: Entry(file, name, tuple(header[name]["shape"]), header[name]["dtype"], start + first)
        for (first, _), name in places
    }


def _place(name: str, values: Any) -> tuple[int, int]:
    """Return the first byte of a tensor in the data, and the first one after it."""
    if not isinstance(values, dict) or not {"dtype", "shape", "data_offsets"} <= values.keys():
        raise ValueError(f"{quoted(name)} is no table of dtype, shape and data_offsets")
    dtype, shape, offsets = values["dtype"], values["shape"], values["data_offsets"]
    if not isinstance(dtype, str):
        raise ValueError(f"the dtype of {quoted(name)} is {quoted(dtype)}")
    if not _are_counts(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"the shape of {quoted(name)} is {quoted(shape)}")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"the data_offsets of {quoted(name)} are {quoted(offsets)}")
    first, last = offsets
    bits = _BITS.get(dtype)
    for extent in () if bits is None else shape:
        bits *= extent
    if bits is not None and bits != 8 * (last - first):
        raise ValueError(f"the place of {quoted(name)} does not agree with its shape")
    return first, last


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)
