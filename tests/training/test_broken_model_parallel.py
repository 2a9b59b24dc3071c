"""A model-parallel training that leaves something out is an error that names what is wrong."""

import pytest

from model_parallel import cut_job, work_of_cut
from pytest_gpt_dist.parallel import Layout
from trainings import Trainings


@pytest.mark.parametrize(
    ("divider", "layout", "model", "wrong"),
    [
        ("TiedOnOneEndAlone", Layout(pp=2), "gpt2", "gradient of transformer.wte.weight is"),
        ("TiedOnOneRankAlone", Layout(pp=2), "qwen3", "gradient of model.embed_tokens.weight is"),
        ("PartialSums", Layout(tp=2), "qwen3", "_norm.weight is|k_proj.|v_proj."),
        ("PartialSums", Layout(tp=2), "llama", "k_proj.|v_proj."),
        ("ScaledGradients", Layout(pp=2), "llama", "gradient of model"),
        ("ReplicasApart", Layout(dp=2), "gpt2", "gradient of transformer"),
        ("SummedTwice", Layout(tp=2), "gpt2", "ln_|bias|wpe"),
        ("HeadsCountedTwice", Layout(tp=2), "llama", "norm of the gradient"),
    ],
)
def test_what_is_left_out_is_found(
    trainings: Trainings, divider: str, layout: Layout, model: str, wrong: str
) -> None:
    job = cut_job(layout, f"broken_model_parallel:{divider}", work_of_cut(model, steps=1), accumulation=4)
    problem = trainings.problem(job)
    assert problem is not None
    assert any(part in problem for part in wrong.split("|")), problem
