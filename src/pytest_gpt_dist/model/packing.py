"""How the weights of linear layers lie in memory: as the processor likes to read them."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it

_PACKED_DTYPES = (torch.float32, torch.bfloat16)
_BLOCK_ROWS = 256
_FEW_ROWS = 4


def pack(weight: torch.Tensor) -> torch.Tensor:
    """Return a linear weight ``[outputs, inputs]`` in oneDNN's layout on a CPU, else as it is.

    The values are the same, and so is their number of bytes; the argument is not needed any more. Unpacked,
    torch lets MKL multiply in float32, which on some processors takes twice as long, and has oneDNN repack
    the weight at every call in bfloat16.
    """
    if weight.device.type != "cpu" or weight.dtype not in _PACKED_DTYPES or not weight.numel():
        return weight
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return weight
    if weight.dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return weight
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return packed


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Apply a weight that ``pack`` returned to the last dimension of ``x``."""
    if weight.is_mkldnn:
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return y
    return F.linear(x, weight, bias)


def stored_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes that tensors take, packed or not, shared storage counted once."""
    dense: dict[int, int] = {}
    packed = 0
    for tensor in tensors:
        if tensor.is_mkldnn:
            packed += tensor.nbytes
        else:
            storage = tensor.untyped_storage()
            dense[storage.data_ptr()] = storage.nbytes()
    return packed + sum(dense.values())


def table_product(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return ``x @ table.T`` for ``x`` ``[rows, hidden]`` and a dense table ``[tokens, hidden]``.

    A tied head shares its table with the embedding, which looks up rows, so that it cannot be packed without
    being there twice. On a CPU torch reads it slowly for few rows in float32: for one, as a batch of products
    over blocks of the table, and for up to four, with the sides exchanged, it reads twice as fast.
    """
    rows = len(x)
    if x.device.type != "cpu" or x.dtype is not torch.float32 or not 1 <= rows <= _FEW_ROWS:
        return F.linear(x, table)
    if rows > 1:
        return torch.mm(table, x.t()).t()
    blocks = len(table) // _BLOCK_ROWS
    whole = blocks * _BLOCK_ROWS
    y = x.new_empty(1, len(table))
    if blocks:
        parts = table[:whole].view(blocks, _BLOCK_ROWS, -1)
        torch.bmm(parts, x.t().expand(blocks, -1, 1), out=y[:, :whole].view(blocks, _BLOCK_ROWS, 1))
    torch.mm(x, table[whole:].t(), out=y[:, whole:])
    return y
