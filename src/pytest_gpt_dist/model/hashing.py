"""The hash that random weights are made of: of each element's place, the same on host and device."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pytest_gpt_dist.parallel import Span

_FMIX32 = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
_UPPER = 0x9E3779B1


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Which elements of a tensor that is ``width`` wide; ``large`` if places in it need more than 32 bits."""

    rows: Span
    columns: Span
    width: int
    large: bool

    @property
    def spans(self) -> tuple[Span, Span]:
        """Rows and columns."""
        return self.rows, self.columns


def hash_on_host(rectangle: Rectangle, keys: tuple[int, int]) -> torch.Tensor:
    """Return the hashes of a rectangle's places, int32; sums and products wrap around, as they shall."""
    first, second = (np.uint32(key & 0xFFFFFFFF) for key in keys)
    starts, offsets = (np.arange(span.start, span.stop, dtype=np.int64) for span in rectangle.spans)
    starts *= rectangle.width
    bits = starts.astype(np.uint32)[:, None] + offsets.astype(np.uint32)
    spare = np.empty_like(bits)
    bits ^= first
    _mix_on_host(bits, spare)
    if rectangle.large:
        bits ^= ((starts[:, None] + offsets) >> 32).astype(np.uint32) * np.uint32(_UPPER)
    bits ^= second
    _mix_on_host(bits, spare)
    return torch.from_numpy(bits.view(np.int32))


def hash_on_device(rectangle: Rectangle, keys: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return the same as ``hash_on_host``, computed on a device."""
    first, second = keys
    starts, offsets = (torch.arange(span.start, span.stop, device=device) for span in rectangle.spans)
    starts.mul_(rectangle.width)
    bits = (starts.to(torch.int32)[:, None] + offsets.to(torch.int32)).bitwise_xor_(first)
    _mix_on_device(bits)
    if rectangle.large:
        bits ^= ((starts[:, None] + offsets) >> 32).to(torch.int32).mul_(_signed(_UPPER))
    bits ^= second
    _mix_on_device(bits)
    return bits


def _mix_on_host(
    bits: np.ndarray[Any, np.dtype[np.uint32]], spare: np.ndarray[Any, np.dtype[np.uint32]]
) -> None:
    """MurmurHash3's fmix32 in place."""
    for shift, factor in _FMIX32:
        np.right_shift(bits, np.uint32(shift), out=spare)
        bits ^= spare
        bits *= np.uint32(factor)
    np.right_shift(bits, np.uint32(16), out=spare)
    bits ^= spare


def _mix_on_device(bits: torch.Tensor) -> None:
    """MurmurHash3's fmix32 in place; the masks make int32's arithmetic shifts logical ones."""
    for shift, factor in _FMIX32:
        bits ^= (bits >> shift).bitwise_and_((1 << 32 - shift) - 1)
        bits *= _signed(factor)
    bits ^= (bits >> 16).bitwise_and_(0xFFFF)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
