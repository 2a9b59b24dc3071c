"""Packed weights multiply as dense ones do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.model.packing import linear, pack

SIZES = st.integers(1, 70)
DTYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 5e-3}


def values(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    made = torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64) - 0.5
    return made.to(dtype)


@settings(deadline=None)
@given(st.integers(0, 9), SIZES, SIZES, st.sampled_from(sorted(DTYPES, key=str)), st.booleans())
def test_a_packed_weight_is_the_same_linear_map(
    rows: int, inputs: int, outputs: int, dtype: torch.dtype, biased: bool
) -> None:
    x, weight = values(rows, 1, inputs, dtype=dtype), values(outputs, inputs, dtype=dtype)
    bias = values(outputs, dtype=dtype) if biased else None
    expected = x.double() @ weight.double().t() + (bias.double() if bias is not None else 0)
    found = linear(x, pack(weight.clone()), bias)
    assert found.dtype is dtype
    assert found.shape == (rows, 1, outputs)
    torch.testing.assert_close(found.double(), expected, rtol=DTYPES[dtype], atol=DTYPES[dtype])


def test_packing_keeps_every_byte_and_no_second_copy() -> None:
    weight = values(96, 64)
    packed = pack(weight)
    assert packed.nbytes == weight.nbytes
    assert torch.equal(packed.to_dense(), weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_formats_without_a_layout_of_their_own_stay_dense(dtype: torch.dtype) -> None:
    weight = values(8, 8, dtype=dtype)
    assert pack(weight) is weight


def test_a_rank_without_heads_has_nothing_to_pack() -> None:
    weight = values(24, 0)
    assert linear(values(2, 0), pack(weight)).shape == (2, 24)
