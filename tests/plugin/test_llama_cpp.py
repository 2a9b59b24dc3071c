"""llama.cpp in the table: checked by the loop that is timed, in every format that it has."""

from importlib.util import find_spec

import pytest

from plugin.peers import TINY_LLAMA, name, run_beside_native
from plugin.sessions import Session
from pytest_gpt_dist.installation import install_extra

TINY_GPT2 = """
GPT2 = {"model_type": "gpt2", "n_embd": 24, "n_head": 3, "n_layer": 2, "n_positions": 64, "vocab_size": 307}
TINY_GPT2 = Preset("tiny-gpt2", DecoderConfig.from_hf(GPT2, "tiny"), "nobody/tiny", pretrained=False)
"""
CONFTEST = """
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_model("tiny-gpt2", "tiny_model:TINY_GPT2")
    registry.add_engine("corrupt", "my_llama_cpp:Corrupt")
"""
CORRUPT = """
from dataclasses import replace

from pytest_gpt_dist.inference.engines.llama_cpp import LlamaCppEngine

class Corrupt(LlamaCppEngine):
    def __init__(self, source, mesh, report=None):
        super().__init__(replace(source, seed=source.seed + 1), mesh, report)
"""
OWN = """
import pytest

def test_corrupt(gpt_dist):
    pytest.importorskip("llama_cpp")
    gpt_dist.run(engine="corrupt")

def test_sampled(gpt_dist):
    how = {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.3}
    first = gpt_dist.run(engine="llama_cpp", **how)
    assert first.tokens == gpt_dist.run(engine="native", **how).tokens

@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("model", ["tiny", "tiny-gpt2"])
def test_16_bits(gpt_dist, model, dtype):
    gpt_dist.run(engine="llama_cpp", model=model, dtype=dtype)

def test_gpt2_in_float32(gpt_dist):
    gpt_dist.run(engine="llama_cpp", model="tiny-gpt2")
"""
MISSING = f"is not installed: {install_extra('llama-cpp')}"
HERE = find_spec("llama_cpp") is not None and find_spec("gguf") is not None
NEEDS_LLAMA_CPP = pytest.mark.skipif(not HERE, reason="llama-cpp-python or gguf is not installed")
ALONE, REPLICAS = "1gpu-pure_data_parallel", "2gpu-pure_data_parallel"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return run_beside_native(
        tmp_path_factory.mktemp("llama_cpp"),
        {
            "conftest.py": CONFTEST,
            "tiny_model.py": TINY_LLAMA + TINY_GPT2,
            "my_llama_cpp.py": CORRUPT,
            "test_own.py": OWN,
        },
        "llama_cpp",
        "test_own or pure_data_parallel or (tensor_data_hybrid and llama_cpp)",
    )


@NEEDS_LLAMA_CPP
@pytest.mark.parametrize("case", [ALONE, REPLICAS])
def test_it_makes_the_same_tokens_and_has_its_row(session: Session, case: str) -> None:
    theirs, ours = session.info(name(case, "llama_cpp")), session.info(name(case, "native"))
    assert theirs["matches_reference"] is True
    assert 0 < theirs["max_logit_error"] < 1e-4
    assert theirs["tokens_sha256"] == ours["tokens_sha256"]
    assert theirs["parameter_bytes"] == [None] * (2 if case == REPLICAS else 1)
    assert theirs["engine_configuration"]["cache"] == "float32"
    assert theirs["ttft_s"]["mean"] < theirs["latency_s"]["mean"]
    assert session.row(name(case, "llama_cpp"))


@NEEDS_LLAMA_CPP
def test_16_bits_are_checked_by_the_same_rule(session: Session) -> None:
    for model in ("tiny", "tiny-gpt2"):
        for dtype in ("bfloat16", "float16"):
            info = session.info(f"test_16_bits[{model}-{dtype}]")
            assert info["matches_reference"] is True
            assert info["engine_configuration"]["cache"] == dtype


@NEEDS_LLAMA_CPP
def test_it_samples_by_the_same_draws(session: Session) -> None:
    assert session.tests["test_sampled"].outcome == "passed", session.tests["test_sampled"].said


@NEEDS_LLAMA_CPP
def test_other_weights_have_no_number(session: Session) -> None:
    assert session.tests["test_corrupt"].outcome == "failure"
    assert "logits are" in session.tests["test_corrupt"].said
    assert "test_corrupt" not in session.benchmarks


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (name("2gpu-tensor_data_hybrid", "llama_cpp"), "llama_cpp runs whole models here"),
        ("test_gpt2_in_float32", "table of 16-bit numbers"),
    ],
)
def test_what_it_cannot_is_skipped_with_the_reason(session: Session, test: str, said: str) -> None:
    assert session.tests[test].outcome == "skipped"
    assert (said if HERE else MISSING) in session.tests[test].said


@pytest.mark.skipif(HERE, reason="llama-cpp-python and gguf are installed")
def test_without_it_its_cases_say_how_to_install_it(session: Session) -> None:
    test = session.tests[name(ALONE, "llama_cpp")]
    assert test.outcome == "skipped"
    assert test.said.endswith(MISSING)
