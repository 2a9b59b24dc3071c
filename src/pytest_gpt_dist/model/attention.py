"""Which kernel computes attention, and the attention of one new token to itself and to all before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it
from torch.nn.attention import SDPBackend, sdpa_kernel

from pytest_gpt_dist.errors import UsageError

_KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
_NOT_SERVED = ("No available kernel", "No viable backend")
"""What torch says on CUDA and on the CPU."""
_IN_PARTS = (torch.float32, torch.bfloat16)
_chosen: ContextVar[bool] = ContextVar("_chosen", default=False)


@contextmanager
def attention_kernel(name: str) -> Iterator[None]:
    """Have torch's attention use one kernel alone, whoever calls it; ``auto`` leaves the choice to torch.

    UsageError where that kernel does not serve what it is called with.
    """
    if name == "auto":
        yield
        return
    before = _chosen.set(True)
    try:
        with sdpa_kernel(_KERNELS[name]):
            yield
    except RuntimeError as error:
        if not any(said in str(error) for said in _NOT_SERVED):
            raise
        raise UsageError(
            f"--gpt-attention={name}: torch has no such kernel for this device, dtype and shape; use auto, or math"
        ) from None
    finally:
        _chosen.reset(before)


def takes_masks() -> bool:
    """Whether attention on a GPU may use a kernel that takes a mask; flash does not."""
    efficient: bool = torch.backends.cuda.mem_efficient_sdp_enabled()  # type: ignore[no-untyped-call]
    math: bool = torch.backends.cuda.math_sdp_enabled()  # type: ignore[no-untyped-call]
    return efficient or math


def in_parts(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether attention is two products and a softmax here, for which keys are best kept transposed.

    torch's own kernels want them the other way.
    """
    return device.type == "cpu" and dtype in _IN_PARTS and not _chosen.get()


def attend(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Return what each query head takes from the values, shaped like ``q``.

    On a CPU torch's fused attention reads the cache at a fraction of the bandwidth; the two products and the
    softmax between them are faster one by one.

    Args:
        q: ``[rows, kv_heads, group, head_dim]``, the heads of a group beside each other.
        keys: ``[rows, kv_heads, columns, head_dim]``.
        values: like ``keys``.
        mask: which columns each row sees, ``[rows, 1, 1, columns]``, bool, or what is added to the scores; None if
            each row sees all.
    """
    if not in_parts(q.device, q.dtype):
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    scores = torch.matmul(q, keys.transpose(-1, -2)).float().mul_(q.shape[-1] ** -0.5)
    if mask is not None and mask.dtype is torch.bool:
        scores.masked_fill_(mask.logical_not(), float("-inf"))
    elif mask is not None:
        scores += mask
    return torch.matmul(scores.softmax(dim=-1).to(q.dtype), values)
