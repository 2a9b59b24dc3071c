"""The rule that decides whether a result may have numbers."""

from math import inf, nan, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.inference.exactness.tolerance import Exactness, checked_steps, reference_dtype

BOUNDS = {"float64": 1e-9, "float32": 1e-4}
SIXTEEN_BITS = ("float16", "bfloat16")
ERRORS = st.floats(0, 1)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_the_bound_itself_is_within_and_the_next_number_is_not(dtype: str) -> None:
    bound = BOUNDS[dtype]
    assert Exactness(dtype, bound, tokens_equal=True).matches_reference
    assert not Exactness(dtype, nextafter(bound, 1), tokens_equal=True).matches_reference


@pytest.mark.parametrize("dtype", BOUNDS)
def test_tokens_must_be_equal_however_close_the_logits_are(dtype: str) -> None:
    assert not Exactness(dtype, 0.0, tokens_equal=False).matches_reference


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@settings(deadline=None)
@given(own_error=st.floats(1e-6, 0.4), tokens_equal=st.booleans())
def test_sixteen_bits_may_be_twice_as_far_as_one_device_and_flip_tokens(
    dtype: str, own_error: float, tokens_equal: bool
) -> None:
    bound = 2 * own_error
    assert Exactness(dtype, bound, tokens_equal, own_error).matches_reference
    assert not Exactness(dtype, nextafter(bound, 1), tokens_equal, own_error).matches_reference


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_sixteen_bits_cannot_be_judged_without_one_devices_own_error(dtype: str) -> None:
    with pytest.raises(ValueError, match="judged by one device's own error"):
        _ = Exactness(dtype, 0.0, tokens_equal=True).matches_reference


@pytest.mark.parametrize("dtype", [*BOUNDS, *SIXTEEN_BITS])
@pytest.mark.parametrize("error", [nan, inf])
def test_what_is_no_number_never_matches(dtype: str, error: float) -> None:
    assert not Exactness(dtype, error, tokens_equal=True, own_error=0.1).matches_reference


@pytest.mark.parametrize("own_error", [nan, inf])
@pytest.mark.parametrize("error", [0.0, 0.5, inf])
def test_one_device_that_went_wrong_itself_is_no_bound(error: float, own_error: float) -> None:
    assert not Exactness("bfloat16", error, tokens_equal=True, own_error=own_error).matches_reference


@settings(deadline=None)
@given(dtype=st.sampled_from(list(BOUNDS)), error=ERRORS, tokens_equal=st.booleans())
def test_what_was_found_is_said_in_one_line(dtype: str, error: float, tokens_equal: bool) -> None:
    said = Exactness(dtype, error, tokens_equal).describe()
    assert "\n" not in said
    assert f"{error:.3g}" in said
    assert dtype in said
    assert ("tokens differ" in said) == (not tokens_equal)


def test_only_float64_is_its_own_reference() -> None:
    assert [reference_dtype(dtype) for dtype in ("float64", "float32", *SIXTEEN_BITS)] == [
        "float64",
        *["float32"] * 3,
    ]


@settings(deadline=None)
@given(context=st.integers(2, 4096), data=st.data())
def test_the_prefill_and_eight_steps_are_compared_or_what_the_context_has_room_for(
    context: int, data: st.DataObject
) -> None:
    prompt = data.draw(st.integers(1, context - 1))  # at least one token is to be generated
    steps = checked_steps(prompt, context)
    assert 1 <= steps <= 9
    assert prompt + steps <= context
    assert steps == 9 or prompt + steps == context
