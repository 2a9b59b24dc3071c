"""transformers' own tensor parallelism in the table: checked and saved as any case."""

import pytest

from plugin.peers import TINY_LLAMA, name, run_beside_native
from plugin.sessions import Session

CONFTEST = """
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("undivided", "my_engines:Undivided")
    registry.add_engine("corrupt", "my_engines:Corrupt")
"""
ENGINES = """
import torch

from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.engines.hugging_face import held_parameters, load_whole_model
from pytest_gpt_dist.inference.engines.transformers import EagerTransformersEngine

class Undivided(EagerTransformersEngine):
    def __init__(self, source, mesh, report=None):
        super().__init__(source, mesh, report)
        self._model = load_whole_model(source)

class Corrupt(EagerTransformersEngine):
    def __init__(self, source, mesh, report=None):
        super().__init__(source, mesh, report)
        if this_rank().rank == 1:
            with torch.no_grad():
                max(held_parameters(self._model), key=torch.Tensor.numel).mul_(1.05)
"""
OWN = """
def test_sampled(gpt_dist):
    how = {"strategy": "dp1pp1tp2", "temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.3}
    first = gpt_dist.run(engine="transformers-eager", **how)
    assert first.tokens == gpt_dist.run(engine="native", **how).tokens

def test_half_precision(gpt_dist):
    gpt_dist.run(engine="transformers-eager", strategy="dp1pp1tp2", dtype="bfloat16")

def test_undivided(gpt_dist):
    gpt_dist.run(engine="undivided", strategy="dp1pp1tp2")

def test_corrupt(gpt_dist):
    gpt_dist.run(engine="corrupt", strategy="dp1pp1tp2")
"""
ALONE, TENSOR = "1gpu-pure_data_parallel", "2gpu-tensor_data_hybrid"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return run_beside_native(
        tmp_path_factory.mktemp("divided"),
        {
            "conftest.py": CONFTEST,
            "tiny_model.py": TINY_LLAMA,
            "my_engines.py": ENGINES,
            "test_own.py": OWN,
        },
        "transformers-eager",
        "test_own or 1gpu or tensor_data_hybrid",
    )


def test_the_divided_model_has_its_row_beside_the_native_one(session: Session) -> None:
    theirs, ours = (session.info(name(TENSOR, engine)) for engine in ("transformers-eager", "native"))
    assert theirs["matches_reference"] is True
    assert 0 < theirs["max_logit_error"] < 1e-4
    assert theirs["tokens_sha256"] == ours["tokens_sha256"]
    assert theirs["parameter_bytes"] == ours["parameter_bytes"]
    assert theirs["reference"]["engine"] == "transformers-eager"
    assert theirs["layout"] == {"dp": 1, "pp": 1, "tp": 2}
    assert "yes (" in session.row(name(TENSOR, "transformers-eager"))


def test_what_the_library_communicates_is_null_where_it_divides_the_model(session: Session) -> None:
    assert session.info(name(TENSOR, "transformers-eager"))["collectives_per_step"] is None
    assert session.info(name(ALONE, "transformers-eager"))["collectives_per_step"]["all_reduce"] == [0]
    assert session.info(name(TENSOR, "native"))["collectives_per_step"]["all_reduce"] == [5, 5]


@pytest.mark.parametrize("test", ["test_sampled", "test_half_precision"])
def test_divided_models_are_sampled_and_checked_in_16_bits(session: Session, test: str) -> None:
    assert session.tests[test].outcome == "passed", session.tests[test].said


@pytest.mark.parametrize(
    ("test", "said"), [("test_undivided", "the model was not split"), ("test_corrupt", "logits are")]
)
def test_a_share_that_is_wrong_has_no_number(session: Session, test: str, said: str) -> None:
    assert session.tests[test].outcome == "failure"
    assert said in session.tests[test].said
    assert test not in session.benchmarks
