"""Attention of one new token to itself and to all before it."""

import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it


def attend(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Return what each query head takes from the values, shaped like ``q``.

    On a CPU torch's fused attention reads a bfloat16 cache at a fraction of the bandwidth; the two products and
    the softmax between them, in float32, are faster one by one.

    Args:
        q: ``[rows, kv_heads, group, head_dim]``, the heads of a group beside each other.
        keys: ``[rows, kv_heads, columns, head_dim]``.
        values: like ``keys``.
        mask: which columns each row sees, ``[rows, 1, 1, columns]``, bool; None if all.
    """
    if q.device.type != "cpu" or q.dtype is not torch.bfloat16:
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    scores = torch.matmul(q, keys.transpose(-1, -2)).float().mul_(q.shape[-1] ** -0.5)
    if mask is not None:
        scores.masked_fill_(mask.logical_not(), float("-inf"))
    return torch.matmul(scores.softmax(dim=-1).to(q.dtype), values)
