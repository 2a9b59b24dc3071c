"""The cases of a session that is to be disturbed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SoakedCase:
    """One case; its lengths are nobody else's: it has its own reference, and its ranks know whose they are."""

    gpus: int
    strategy: str
    prompt_tokens: int
    new_tokens: int


CASES = {
    "one": SoakedCase(1, "pure_data_parallel", 6, 8),
    "replicas": SoakedCase(2, "pure_data_parallel", 7, 9),
    "divided": SoakedCase(2, "tensor_data_hybrid", 8, 10),
    "staged": SoakedCase(2, "pipeline_data_hybrid", 9, 11),
    "both": SoakedCase(4, "full_model_parallel", 10, 12),
}
CASE_OF_LENGTH = {case.prompt_tokens: name for name, case in CASES.items()}
TEST = """\
import pytest
from soak.cases import CASES

@pytest.mark.parametrize("case", CASES)
def test_case(gpt_dist, case):
    chosen = CASES[case]
    gpt_dist.run(
        gpus=chosen.gpus, strategy=chosen.strategy, engine="soaked",
        prompt_tokens=chosen.prompt_tokens, new_tokens=chosen.new_tokens,
    )
"""
CONFTEST = """\
pytest_plugins = ["soak.gates"]

def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("soaked", "soak.engine:Soaked")
"""
