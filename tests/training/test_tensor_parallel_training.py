"""Tensor-parallel training is one process's: gradients by name, norms on all ranks, and losses, in float64."""

from dataclasses import replace
from pathlib import Path

import pytest

from model_parallel import MODELS, cut_job, work_of_cut
from pytest_gpt_dist.parallel import Layout
from trainings import Trainings


@pytest.mark.parametrize(("model", "ranks"), [*((model, 3) for model in MODELS), ("gpt2", 2), ("qwen3", 2)])
def test_uneven_shares_are_one_process(trainings: Trainings, model: str, ranks: int) -> None:
    reports = trainings.run(cut_job(Layout(tp=ranks), "TensorParallel", work_of_cut(model, layers=2)))
    assert [report.problem for report in reports] == [None] * ranks
    assert max(report.gradient_error or 0 for report in reports) < 1e-9
    assert len({report.norms for report in reports}) == 1


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_ranks_read_their_shares_of_a_checkpoint(trainings: Trainings, model: str, tmp_path: Path) -> None:
    trainings.write_checkpoint(
        str(tmp_path), MODELS[model] | {"n_layer" if model == "gpt2" else "num_hidden_layers": 2}
    )
    work = work_of_cut(model, layers=2)
    work = replace(work, model=replace(work.model, folder=str(tmp_path)))
    for layout, divider in ((Layout(tp=2), "TensorParallel"), (Layout(pp=2), "GPipe")):
        reports = trainings.run(cut_job(layout, divider, work))
        assert [report.problem for report in reports] == [None] * 2
