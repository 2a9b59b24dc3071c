"""What a case knows of itself."""

from dataclasses import replace
from typing import Any

import pytest

from made_case import CASE
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference import case as module
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.fingerprint import fingerprint


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


def test_the_fingerprint_of_a_folder_is_its_content_and_not_its_name() -> None:
    machine = Machine("cpu", (), None, "gloo", 1, share_gpu=False, cores=Cores((0,)))
    one, other = (
        fingerprint(replace(CASE, model_name=name, tokenizer=name, model_content="12ab34cd"), machine)
        for name in ("mine-12ab34", "copy-12ab34")
    )
    assert one == other
    assert one["model"] == one["tokenizer"] == "12ab34cd"
    assert fingerprint(CASE, machine)["model"] == CASE.model_name
