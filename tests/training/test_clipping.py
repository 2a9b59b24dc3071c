"""The norm of a gradient, and clipping by it, without other ranks."""

import pytest
import torch

from pytest_gpt_dist.training.clipping import NormPart, clip_by, total_norm

CPU = torch.device("cpu")


def test_the_norm_is_that_of_all_parts_together() -> None:
    parts = [
        NormPart([torch.tensor([3.0]), torch.zeros(0)]),
        NormPart([torch.tensor([[4.0, 0.0]])]),
        NormPart([]),
    ]
    assert total_norm(parts, CPU).item() == 5.0


def test_the_norm_of_a_large_tensor_is_right_in_float32() -> None:
    large = torch.full((2**21 + 5, 4), 0.1)
    exact = large.double().norm().item()
    assert total_norm([NormPart([large])], CPU).item() == pytest.approx(exact, rel=2e-6)
    assert large.norm().item() != pytest.approx(exact, rel=2e-6)


def test_clipping_is_torch_s() -> None:
    mine = [torch.tensor([3.0, 4.0]), torch.tensor([12.0], dtype=torch.float64)]
    theirs = [torch.nn.Parameter(each.clone()) for each in mine]
    for parameter, gradient in zip(theirs, mine, strict=True):
        parameter.grad = gradient.clone()
    norm = total_norm([NormPart(mine)], CPU)
    clip_by(norm, 1.0, mine)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    for parameter, gradient in zip(theirs, mine, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_what_is_small_enough_stays_as_it_is() -> None:
    gradient = torch.tensor([0.5])
    clip_by(torch.tensor(0.5, dtype=torch.float64), 1.0, [gradient])
    assert gradient.item() == 0.5
