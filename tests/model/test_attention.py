"""Attention of one token, in every format the same."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.attention import attend, attention_kernel
from pytest_gpt_dist.model.sampling import greedy
from pytest_gpt_dist.parallel import Span


def values(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)),
    columns=st.integers(1, 20),
    hides=st.sampled_from(["nothing", "some", "some, by adding"]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_it_is_softmax_of_scaled_products_times_values(
    shape: tuple[int, int, int], columns: int, hides: str, dtype: torch.dtype
) -> None:
    rows, kv_heads, group = shape
    head_dim, capacity = 8, columns + 3
    q = values(rows, kv_heads, group, head_dim, seed=1).to(dtype)
    keys = values(rows, kv_heads, capacity, head_dim, seed=2).to(dtype)[:, :, :columns]
    kept = values(rows, kv_heads, capacity, head_dim, seed=3).to(dtype)[:, :, :columns]
    seen = torch.arange(columns) <= torch.arange(rows)[:, None] + columns // 2
    mask = None if hides == "nothing" else seen[:, None, None, :]
    expected = F.scaled_dot_product_attention(q.double(), keys.double(), kept.double(), attn_mask=mask)
    if mask is not None and hides == "some, by adding":
        mask = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, -torch.inf)
    found = attend(q, keys, kept, mask)
    assert found.dtype is dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernel", ["flash", "math"])
def test_a_kernel_that_was_chosen_is_the_one_that_runs(kernel: str) -> None:
    q, keys, kept = (values(1, 2, 1, 8, seed=seed).to(torch.bfloat16) for seed in range(3))
    with (
        attention_kernel(kernel),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
    ):
        attend(q, keys, kept, None)
    called = {event.key for event in profile.key_averages()}
    assert ("aten::_scaled_dot_product_attention_math" in called) == (kernel == "math")
    assert ("aten::_scaled_dot_product_flash_attention_for_cpu" in called) == (kernel == "flash")


def test_a_kernel_that_does_not_serve_is_one_line() -> None:
    q = values(1, 2, 1, 8, seed=1).float()
    with pytest.raises(UsageError, match="--gpt-attention=efficient"), attention_kernel("efficient"):
        attend(q, q, q, None)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="boom"), attention_kernel("math"):
        raise RuntimeError("boom")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_equal_logits_the_lowest_token_wins(dtype: torch.dtype) -> None:
    logits = torch.zeros(2, 50257, dtype=dtype)
    logits[1, [40000, 300, 7]] = 3.0
    assert greedy(logits, Span(0, 50257), None).tolist() == [0, 7]
