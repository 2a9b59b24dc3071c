"""The rule that decides whether a training may have numbers."""

from math import inf, nan, nextafter

import pytest

from pytest_gpt_dist.training.exactness.tolerance import (
    Bounds,
    GradientErrors,
    bounds,
    gradient_problem,
    loss_problem,
    norm_problem,
    whole_norm_problem,
)

ALLOWED = bounds("float64")
NAMES = ("a", "b")


def problem(a: float, b: float, total: float = 0.0) -> str | None:
    return gradient_problem(GradientErrors({"a": a, "b": b}, total), NAMES, ALLOWED)


def test_the_bound_itself_is_within_and_the_next_number_is_not() -> None:
    assert problem(0.0, ALLOWED.gradient) is None
    said = problem(0.0, nextafter(ALLOWED.gradient, 1))
    assert said is not None
    assert said.startswith("gradient of b is 1e-09 away from one process's")


@pytest.mark.parametrize("error", [nan, inf])
def test_what_is_no_number_is_farthest_of_all(error: float) -> None:
    assert (problem(error, 1e-3) or "").startswith("gradient of a is ")


def test_a_tensor_that_nobody_compared_is_named() -> None:
    said = gradient_problem(GradientErrors({"a": 0.0}, 0.0), NAMES, ALLOWED)
    assert said == "gradient of b: nothing to compare, and of 0 tensors more"


def test_all_together_have_a_bound_of_their_own() -> None:
    assert (problem(0.0, 0.0, 1e-8) or "").startswith("gradients are 1e-08 away")


def test_norms_differ_between_ranks() -> None:
    assert norm_problem([1.0, 1.0], ALLOWED) is None
    assert norm_problem([1.0, 1.1], ALLOWED) == "norm of the gradient is 1 on rank 0 and 1.1 on rank 1"
    assert norm_problem([1.0, nan], ALLOWED) is not None
    assert whole_norm_problem(1.0, 1.0, ALLOWED) is None
    assert whole_norm_problem(nan, 1.0, ALLOWED) is not None


def test_a_loss_is_named_by_its_step() -> None:
    assert loss_problem([2.0, 2.0], [2.0, 2.0], ALLOWED) is None
    assert (loss_problem([2.0, 2.1], [2.0, 2.0], ALLOWED) or "").startswith(
        "loss of step 2 is 2.1, one process"
    )
    assert loss_problem([nan], [2.0], ALLOWED) is not None


def test_sixteen_bits_may_be_twice_as_far_as_one_process() -> None:
    own = Bounds(gradient=0.1, loss=0.02, floor=0.0, norm=1e-6)
    assert (bounds("bfloat16", own).gradient, bounds("bfloat16", own).loss) == (0.2, 0.04)
    with pytest.raises(ValueError, match="own errors"):
        bounds("bfloat16")


def test_a_loss_in_sixteen_bits_may_be_off_by_one_rounding_where_one_process_happens_to_be_right() -> None:
    lucky = Bounds(gradient=0.1, loss=1e-6, floor=0.0, norm=0.0)
    assert loss_problem([2.0 * (1 + 2**-9)], [2.0], bounds("bfloat16", lucky)) is None
    assert loss_problem([2.0 * (1 + 2**-7)], [2.0], bounds("bfloat16", lucky)) is not None
    assert loss_problem([2.0 * (1 + 2**-9)], [2.0], bounds("float16", lucky)) is not None
