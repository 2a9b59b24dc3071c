"""Other people's engines in the same session: same requests, same checks, same table."""

from importlib.util import find_spec

import pytest

from plugin.peers import name, run_beside_native
from plugin.sessions import Session
from pytest_gpt_dist.installation import install_extra

CONFTEST = """
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("absent", "my_engines:Absent", "my_limits:ABSENT")
    registry.add_engine("corrupt_transformers", "my_engines:CorruptTransformers")
    registry.add_engine("corrupt_ctranslate2", "my_ctranslate2:CorruptCTranslate2")
    registry.add_engine("secretive", "my_engines:Secretive")
"""
LIMITS = """
from pytest_gpt_dist.inference.engines.capabilities import Limits

ABSENT = Limits("no_such_library", "pip install no-such-library", lambda task: None)
"""
ENGINES = """
import torch

from pytest_gpt_dist.inference.engines.native import NativeEngine
from pytest_gpt_dist.inference.engines.transformers import EagerTransformersEngine

class CorruptTransformers(EagerTransformersEngine):
    def __init__(self, source, mesh, report=None):
        super().__init__(source, mesh, report)
        with torch.no_grad():
            self._model.transformer.h[-1].mlp.c_proj.weight[:, -1] *= 1.05

class Secretive(NativeEngine):
    parameter_bytes = None
"""
CTRANSLATE2 = """
from dataclasses import replace

from pytest_gpt_dist.inference.engines.ctranslate2 import CTranslate2Engine

class CorruptCTranslate2(CTranslate2Engine):
    def __init__(self, source, mesh, report=None):
        super().__init__(replace(source, seed=source.seed + 1), mesh, report)
"""
OWN = """
import pytest

def test_absent(gpt_dist):
    gpt_dist.run(engine="absent")

def test_corrupt_transformers(gpt_dist):
    gpt_dist.run(engine="corrupt_transformers")

def test_corrupt_ctranslate2(gpt_dist):
    pytest.importorskip("ctranslate2")
    gpt_dist.run(engine="corrupt_ctranslate2")

def test_sampled(gpt_dist):
    first = gpt_dist.run(engine="transformers-eager", temperature=0.8, top_p=0.9)
    assert first.tokens == gpt_dist.run(engine="native", temperature=0.8, top_p=0.9).tokens

def test_sampled_by_ctranslate2(gpt_dist):
    gpt_dist.run(engine="ctranslate2", temperature=0.8)

def test_half_precision(gpt_dist):
    gpt_dist.run(engine="transformers-eager", dtype="bfloat16")

def test_whole_and_secretive(gpt_dist):
    assert gpt_dist.run(engine="secretive").extra_info["parameter_bytes"] == [None]

def test_divided_and_secretive(gpt_dist):
    gpt_dist.run(engine="secretive", strategy="dp1pp1tp2")
"""
MISSING = f"ctranslate2 is not installed: {install_extra('ctranslate2')}"
HERE = find_spec("ctranslate2") is not None
PEERS = [
    "transformers-eager",
    pytest.param("ctranslate2", marks=pytest.mark.skipif(not HERE, reason=MISSING)),
]
ALONE = "1gpu-pure_data_parallel"
REPLICAS = "2gpu-pure_data_parallel"
TENSOR, PIPELINE = ("2gpu-tensor_data_hybrid", "2gpu-pipeline_data_hybrid")
WHOLE = "ctranslate2 runs whole models here"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return run_beside_native(
        tmp_path_factory.mktemp("peers"),
        {
            "conftest.py": CONFTEST,
            "my_limits.py": LIMITS,
            "my_engines.py": ENGINES,
            "my_ctranslate2.py": CTRANSLATE2,
            "test_own.py": OWN,
        },
        "transformers-eager,ctranslate2",
        "test_own or pure_data_parallel or transformers or ctranslate2",
    )


@pytest.mark.parametrize("engine", PEERS)
@pytest.mark.parametrize("case", [ALONE, REPLICAS])
def test_a_peer_makes_the_same_tokens_and_has_its_row(session: Session, case: str, engine: str) -> None:
    theirs, ours = session.info(name(case, engine)), session.info(name(case, "native"))
    assert theirs["matches_reference"] is True
    assert 0 < theirs["max_logit_error"] < 1e-4
    assert theirs["tokens_sha256"] == ours["tokens_sha256"]
    assert theirs["prompt_tokens"] == ours["prompt_tokens"]
    assert theirs["threads_per_rank"] == ours["threads_per_rank"]
    assert theirs["tokens_per_s"] > 0
    assert theirs["ttft_s"]["mean"] < theirs["latency_s"]["mean"]
    assert session.row(name(case, engine))


@pytest.mark.parametrize("engine", PEERS)
def test_a_peers_speed_up_is_over_itself(session: Session, engine: str) -> None:
    reference = session.info(name(REPLICAS, engine))["reference"]
    assert (reference["engine"], reference["origin"]) == (engine, "case of this session")


@pytest.mark.parametrize(
    ("engine", "case", "said"),
    [
        ("transformers-eager", TENSOR, "transformers has no plan to divide gpt2 models"),
        ("transformers-eager", PIPELINE, "transformers runs no pipelines here"),
        ("ctranslate2", TENSOR, WHOLE if HERE else MISSING),
        ("ctranslate2", PIPELINE, WHOLE if HERE else MISSING),
    ],
)
def test_a_layout_that_a_peer_cannot_run_is_skipped_with_the_reason(
    session: Session, engine: str, case: str, said: str
) -> None:
    test = session.tests[name(case, engine)]
    assert test.outcome == "skipped"
    assert said in test.said


def test_what_a_peer_was_set_to_is_saved(session: Session) -> None:
    saved = session.info(name(ALONE, "transformers-eager"))["engine_configuration"]
    assert saved == {"version": saved["version"], "attention": "sdpa", "cache": "dynamic", "compiled": False}
    native = session.info(name(ALONE, "native"))["engine_configuration"]
    assert native == {"cuda_graphs": False, "compiled": False, "head_copied": True}


def test_a_missing_library_is_skipped_with_the_line_that_installs_it(session: Session) -> None:
    test = session.tests["test_absent"]
    assert (test.outcome, test.said) == (
        "skipped",
        "no_such_library is not installed: pip install no-such-library",
    )


@pytest.mark.skipif(HERE, reason="ctranslate2 is installed")
def test_without_ctranslate2_its_cases_say_how_to_install_it(session: Session) -> None:
    test = session.tests[name(ALONE, "ctranslate2")]
    assert (test.outcome, test.said) == ("skipped", MISSING)


@pytest.mark.parametrize("engine", PEERS)
def test_a_peer_with_other_weights_has_no_number(session: Session, engine: str) -> None:
    corrupt = f"test_corrupt_{engine.removesuffix('-eager')}"
    assert session.tests[corrupt].outcome == "failure"
    assert "logits are" in session.tests[corrupt].said
    assert corrupt not in session.benchmarks


def test_transformers_samples_by_the_same_draws(session: Session) -> None:
    assert session.tests["test_sampled"].outcome == "passed", session.tests["test_sampled"].said


def test_ctranslate2_does_not_sample(session: Session) -> None:
    test = session.tests["test_sampled_by_ctranslate2"]
    assert test.outcome == "skipped"
    assert ("sampling options" if HERE else MISSING) in test.said


def test_sixteen_bits_are_checked_by_the_same_rule(session: Session) -> None:
    info = session.info("test_half_precision")
    assert info["matches_reference"] is True
    assert info["max_logit_error"] > 1e-4


def test_who_cannot_tell_what_it_holds_may_not_divide_a_model(session: Session) -> None:
    assert session.tests["test_whole_and_secretive"].outcome == "passed"
    test = session.tests["test_divided_and_secretive"]
    assert test.outcome == "failure"
    assert "cannot tell whether it holds its share" in test.said
