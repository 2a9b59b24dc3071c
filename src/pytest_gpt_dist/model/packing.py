"""How the weights of linear layers lie in memory: as the processor likes to read them."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it

_PACKED_DTYPES = (torch.float32, torch.bfloat16)


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
