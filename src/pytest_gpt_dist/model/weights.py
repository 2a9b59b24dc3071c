"""Where the values of parameters come from: a checkpoint, or a hash of where they stand."""

import hashlib
import mmap
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.checkpoint import Checkpoint
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.hashing import Rectangle, hash_on_device, hash_on_host
from pytest_gpt_dist.model.safetensors_header import Entry
from pytest_gpt_dist.model.tensors import TensorSpec, checkpoint_tensors
from pytest_gpt_dist.parallel import Span

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Weights(Protocol):
    """The tensors of a model, by the names and shapes of its checkpoint."""

    @property
    def block(self) -> int:
        """Number of elements that it is best to read at a time."""
        ...

    def read(self, name: str, rows: Span, columns: Span | None) -> torch.Tensor:
        """Return a rectangle of a tensor (of a vector if ``columns`` is None), in any floating dtype."""
        ...


class CheckpointWeights:
    """Tensors of a safetensors checkpoint; nothing but the slices that are asked for is read.

    Files are mapped read-only, so that their pages belong to the page cache and all ranks share them; safetensors'
    own reader maps them privately and writable, which a limit on private memory counts in full.

    A context manager: the files stay mapped within it.
    """

    block = 1 << 20

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._files: dict[Path, mmap.mmap] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.clear()
        self._stack.close()

    def read(self, name: str, rows: Span, columns: Span | None) -> torch.Tensor:
        """Return a rectangle of a tensor, in the checkpoint's dtype.

        Raises:
            UsageError: when the tensor is tied to another that is stored with other values.
        """
        entry, twin = self._checkpoint.entries[name], self._checkpoint.twins.get(name)
        values = self._slice(entry, rows, columns)
        if twin is not None and not torch.equal(values, self._slice(twin, rows, columns)):
            raise UsageError(
                f"{twin.file}: {twin.stored_name} differs from {entry.stored_name}, to which config.json ties it; "
                "set tie_word_embeddings to false there"
            )
        return values

    def _slice(self, entry: Entry, rows: Span, columns: Span | None) -> torch.Tensor:
        if entry.file not in self._files:
            with entry.file.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            self._files[entry.file] = self._stack.enter_context(mapped)
        dtype = _DTYPES[entry.dtype]
        whole = np.ndarray(entry.shape, f"<i{dtype.itemsize}", self._files[entry.file], entry.offset)
        part = whole[rows.slice] if columns is None else whole[rows.slice, columns.slice]
        return torch.from_numpy(part.copy()).view(dtype)


class RandomWeights:
    """Random values, each a function of the seed, the tensor's name and the element's place in the tensor.

    Any slice can be made alone, on any device, and has the values that it has in any other layout. They are
    fixed for ever: element ``i`` is ``mean + float32(int32 hash) * scale``, uniform, with the hash two rounds
    of MurmurHash3's 32-bit finalizer keyed by SHA-256 of seed and name, and the upper half of ``i`` mixed in
    between.

    Args:
        config: the model.
        seed: any whole number.
        device: where values are made.
    """

    def __init__(self, config: DecoderConfig, seed: int, device: torch.device) -> None:
        self._tensors: Mapping[str, TensorSpec] = checkpoint_tensors(config)
        self._seed = seed
        self._device = device
        # On the CPU the two dozen passes over a block should stay in its cache; on a GPU launches must be few.
        self.block = 1 << 16 if device.type == "cpu" else 1 << 24

    def origin(self, name: str) -> tuple[int, TensorSpec]:
        """Return what the values of a tensor are a function of, besides their places in it."""
        return self._seed, self._tensors[name]

    def read(self, name: str, rows: Span, columns: Span | None) -> torch.Tensor:
        """Return a rectangle of a tensor, in float32."""
        spec = self._tensors[name]
        width = spec.shape[1] if columns is not None else 1
        rectangle = Rectangle(rows, columns or Span(0, 1), width, large=spec.shape[0] * width > 1 << 32)
        keys = _keys(self._seed, name)
        # numpy has logical shifts, and so hashes in half the time; it knows no GPU.
        on_host = self._device.type == "cpu"
        bits = hash_on_host(rectangle, keys) if on_host else hash_on_device(rectangle, keys, self._device)
        values = bits.to(torch.float32)
        values *= torch.tensor(spec.std * 3**0.5 / 2**31, dtype=torch.float32).item()
        if spec.mean:
            values += spec.mean
        return values.view(-1) if len(spec.shape) == 1 else values


def _keys(seed: int, name: str) -> tuple[int, int]:
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    first, second = struct.unpack_from("<ii", digest)
    return first, second
