"""What a case knows of itself."""

from dataclasses import replace
from typing import Any

import pytest

from made_case import CASE
from pytest_gpt_dist.inference import case as module
from pytest_gpt_dist.inference.batching import plan


def test_a_case_is_planned_once_and_stays_the_same_case(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Any] = []

    def planning(requests: Any, *args: Any, **kwargs: Any) -> Any:
        planned.append(kwargs["batching"])
        return plan(requests, *args, **kwargs)

    monkeypatch.setattr(module, "plan", planning)
    one, other = (replace(CASE, workload=replace(CASE.workload, batching="by-length")) for _ in range(2))
    for _ in range(3):
        assert len(one.batches) == 1
        assert one.padding_fraction == one.padding_fraction_in_order == 0
    assert planned == ["by-length", "in-order"]
    assert one == other
    assert hash(one) == hash(other)
    assert replace(one, requests=one.requests * 2).batches != one.batches
