"""The keys and values of all tokens so far, and where the tokens of a forward pass stand among them."""

from dataclasses import dataclass

import torch

from pytest_gpt_dist.model.attention import in_parts
from pytest_gpt_dist.model.upload import upload


@dataclass(frozen=True, slots=True)
class Window:
    """Where the tokens of a forward pass stand.

    Prompts are padded on the right. While decoding, rows of equal length all stand in one column; ragged rows
    each continue at their own length, over their padding, and a mask hides what lies beyond.

    Attributes:
        start: first column of the pass; ragged, that of the longest row; recorded, 0, as the device alone knows.
        stop: number of columns in use after it; recorded, all of the cache.
        rows: ragged or recorded decoding alone: the indices of the rows, ``[rows]``, int64.
        columns: ragged or recorded decoding alone: the column of each row's token, ``[rows]``, int64.
        mask: ragged or recorded decoding alone: which columns each row sees, ``[rows, 1, 1, stop]``; bool, or what
            is added to the scores of attention.
    """

    start: int
    stop: int
    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    @property
    def prefill(self) -> bool:
        """Whether this is the first pass, over the prompts."""
        return self.start == 0 and self.rows is None

    def take(self, table: torch.Tensor) -> torch.Tensor:
        """Return what a table ``[positions, width]`` has for the tokens: ``[1 or rows, tokens, width]``."""
        if self.columns is None:
            return table[self.start : self.stop].unsqueeze(0)
        return table[self.columns].unsqueeze(1)


class Prompts:
    """The lengths of a microbatch's prompts, ``[rows]``, and the windows that follow from them.

    Args:
        lengths: of each row's prompt.
        positions: the model's context.
        device: where the rows are.
    """

    def __init__(self, lengths: list[int], positions: int, device: torch.device) -> None:
        self._last_position = positions - 1
        self.longest = max(lengths)
        self._ragged = min(lengths) != self.longest
        self.lengths = upload(torch.tensor(lengths), device)
        self._rows = torch.arange(len(lengths), device=device)

    def window(self, step: int) -> Window:
        """Return the window of a step; step 0 is the prefill."""
        if step == 0:
            return Window(0, self.longest)
        start = self.longest + step - 1
        if not self._ragged:
            return Window(start, start + 1)
        # A row that has all its tokens may run on beyond the context while others still want some.
        columns = (self.lengths + (step - 1)).clamp_(max=self._last_position)
        seen = torch.arange(start + 1, device=columns.device) <= columns[:, None]
        return Window(start, start + 1, self._rows, columns, seen[:, None, None, :])

    def last(self, hidden: torch.Tensor, rows: slice) -> torch.Tensor:
        """Return of some rows' prefill, ``[rows, tokens, hidden]``, what their last tokens have: ``[rows, hidden]``."""
        if self._ragged:
            return hidden[self._rows[: len(hidden)], self.lengths[rows] - 1]
        return hidden[:, -1]


@dataclass(frozen=True, slots=True)
class LayerCache:
    """Keys and values of one layer, each ``[rows, kv_heads, capacity, head_dim]``."""

    keys: torch.Tensor
    values: torch.Tensor

    def fill(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write the prompts' keys and values, each ``[rows, kv_heads, tokens, head_dim]``."""
        self.keys[:, :, : keys.shape[2]].copy_(keys)
        self.values[:, :, : values.shape[2]].copy_(values)

    def append(
        self, keys: torch.Tensor, values: torch.Tensor, window: Window
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token's, each ``[rows, kv_heads, head_dim]``, and return all that is in use."""
        if window.rows is None:
            self.keys[:, :, window.start].copy_(keys)
            self.values[:, :, window.start].copy_(values)
        else:
            self.keys[window.rows, :, window.columns] = keys
            self.values[window.rows, :, window.columns] = values
        return self.keys[:, :, : window.stop], self.values[:, :, : window.stop]

    def of(self, rows: slice) -> "LayerCache":
        """Return that of some rows, in the same memory."""
        return LayerCache(self.keys[rows], self.values[rows])


class KVCache:
    """Static key/value cache of one microbatch on one stage.

    It is zeroed, because what a mask hides is still multiplied by zero, and uninitialised memory may be NaN.

    Args:
        layers: number of layers.
        shape: of the keys, as of the values, of one layer: ``[rows, kv_heads, capacity, head_dim]``.
        dtype: of both.
        device: of both.
    """

    def __init__(
        self, layers: int, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
    ) -> None:
        self._rows, kv_heads, self._capacity, head_dim = shape
        values = torch.zeros((layers, *shape), dtype=dtype, device=device)
        if in_parts(device, dtype):
            # Lying the other way, keys are copied before they are multiplied, or read slowly.
            keys = values.new_zeros(layers, self._rows, kv_heads, head_dim, self._capacity).transpose(-1, -2)
        else:
            keys = torch.zeros_like(values)
        self.layers = tuple(LayerCache(*pair) for pair in zip(keys, values, strict=True))

    @property
    def capacity(self) -> int:
        """Columns that it has room for."""
        return self._capacity

    def fits(self, rows: int, columns: int) -> bool:
        """Whether it serves a microbatch of that many rows and tokens a row."""
        return self._rows == rows and self._capacity >= columns
