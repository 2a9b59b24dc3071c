"""The safetensors files of a folder: which tensors are in which file, read from the headers alone."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.tensors import HEAD_NAME, PREFIXES, checkpoint_tensors, embedding_name

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_DTYPES = ("F64", "F32", "F16", "BF16")
_ITEMSIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_LARGEST_HEADER = 100_000_000


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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose files hold every tensor that a model needs.

    Attributes:
        folder: the folder.
        entries: where each tensor is, by its full name.
        twins: by the same names, tensors that must have the same values: a tied head that is stored all the same.
    """

    folder: Path
    entries: Mapping[str, Entry]
    twins: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path, config: DecoderConfig) -> "Checkpoint":
        """Read the headers and check them against the model.

        Raises:
            UsageError: when a file or tensor is missing, of another shape, or of a dtype that is not
                supported.
        """
        stored = _stored_tensors(folder)
        entries = {}
        for name, spec in checkpoint_tensors(config).items():
            entry = _find(stored, name)
            if entry is None and config.dimensions.tied and name == embedding_name(config):
                entry = stored.get(HEAD_NAME)
            if entry is None:
                raise UsageError(f"{folder}: has no tensor {name}, which its config.json calls for")
            entries[name] = _checked(entry, spec.shape)
        twins = {}
        if config.dimensions.tied and HEAD_NAME in stored:
            embedding = embedding_name(config)
            twins[embedding] = _checked(stored[HEAD_NAME], entries[embedding].shape)
        return cls(folder, entries, twins)


def _checked(entry: Entry, shape: tuple[int, ...]) -> Entry:
    if entry.shape != shape:
        raise UsageError(
            f"{entry.file}: {entry.stored_name} is {list(entry.shape)}, its config.json calls for {list(shape)}"
        )
    if entry.dtype not in _DTYPES:
        raise UsageError(
            f"{entry.file}: {entry.stored_name} is {entry.dtype}; supported are {', '.join(_DTYPES)}"
        )
    return entry


def _find(stored: Mapping[str, Entry], name: str) -> Entry | None:
    if name in stored:
        return stored[name]
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return stored.get(name.removeprefix(prefix))


def _stored_tensors(folder: Path) -> dict[str, Entry]:
    index = folder / _INDEX
    if (folder / _SINGLE).is_file():
        return _header(folder / _SINGLE)
    if not index.is_file():
        if any(folder.glob("*.bin")):
            raise UsageError(
                f"{folder}: its weights are pickled (.bin); convert them with "
                "model.save_pretrained(folder), which writes safetensors"
            )
        raise UsageError(f"{folder}: has neither {_SINGLE} nor {_INDEX}")
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({str(file) for file in weight_map.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{index}: is not an index of safetensors files ({error!r})") from error
    stored: dict[str, Entry] = {}
    for file in files:
        if not (folder / file).is_file():
            raise UsageError(f"{index}: names {file}, which is not there")
        stored |= _header(folder / file)
    return stored


def _require_extent(name: str, entry: Mapping[str, Any], end: int) -> None:
    """Raise ValueError unless a tensor's bytes are as many as its shape and dtype say, within the data."""
    start, stop = entry["data_offsets"]
    size = prod(entry["shape"]) * _ITEMSIZES.get(entry["dtype"], 0)
    if not 0 <= start <= stop <= end or (size and stop - start != size):
        raise ValueError(f"the place of {name} does not agree with its shape")


def _header(file: Path) -> dict[str, Entry]:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError("its header is too long")
            header: dict[str, Any] = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if file.stat().st_size != 8 + length + end:
            raise ValueError("its length is not what its header says")
        for name, entry in header.items():
            _require_extent(name, entry, end)
        return {
            name: Entry(
                file, name, tuple(entry["shape"]), entry["dtype"], 8 + length + entry["data_offsets"][0]
            )
            for name, entry in header.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise UsageError(f"{file}: is not a complete safetensors file ({error})") from error
