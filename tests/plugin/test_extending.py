"""Strategies, engines and models that a conftest.py adds through the hook."""

import shutil
from pathlib import Path

import pytest

from patience import HANG_S
from plugin.sessions import TESTS, TINY, Session, error_line, run_session

CONFTEST = """
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_strategy("all_pipeline", "mine:AllPipeline")
    registry.add_strategy("small", "mine:Small")
    registry.add_strategy("even_only", "mine:EvenOnly")
    registry.add_strategy("all_tensor", "mine:AllTensor")
    registry.add_strategy("lost", "mine:Lost")
    registry.add_engine("renamed", "my_engine:Renamed")
    registry.add_engine("lost", "my_engine:Lost")
"""
MINE = """
from pytest_gpt_dist import Layout
from pytest_gpt_dist.errors import UsageError

class AllPipeline:
    name = "all_pipeline"
    def layout(self, gpus):
        return Layout(pp=gpus)

class Small:
    name = "small"
    def layout(self, gpus):
        return Layout()

class EvenOnly:
    name = "even_only"
    def layout(self, gpus):
        if gpus % 2:
            raise UsageError(f"even_only: {gpus} devices cannot be paired")
        return Layout(dp=gpus // 2, tp=2)

class AllTensor:
    name = "all_tensor"
    def layout(self, gpus):
        return Layout(tp=gpus)
"""
ENGINE = """
from pytest_gpt_dist.inference.engines.native import NativeEngine

class Renamed(NativeEngine):
    pass
"""
TEST = """
import pytest

def test_strategy(gpt_dist):
    result = gpt_dist.run(strategy="all_pipeline", gpus=3, scaling="strong")
    assert result.layout.pp == 3
    assert result.extra_info["strategy"] == "all_pipeline"
    assert result.extra_info["degenerate"] == "pipeline_data_hybrid"

def test_engine(gpt_dist):
    result = gpt_dist.run(engine="renamed", strategy="tensor_data_hybrid", gpus=2)
    assert result.extra_info["engine"] == "renamed"
    assert result.extra_info["matches_reference"]

def test_picky(gpt_dist):
    gpt_dist.run(strategy="even_only", gpus=3)

def test_beside_a_picky_one(gpt_dist):
    assert gpt_dist.run(strategy="all_tensor", gpus=3).layout.tp == 3

def test_wrong_world_size(gpt_dist):
    gpt_dist.run(strategy="small", gpus=2)

def test_lost_strategy(gpt_dist):
    gpt_dist.run(strategy="lost", gpus=2)

def test_lost_engine(gpt_dist):
    gpt_dist.run(engine="lost", gpus=2)
"""
CONFLICT = """
def pytest_gpt_dist_register(registry):
    registry.add_strategy("pure_data_parallel", "mine:AllPipeline")
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return run_session(
        tmp_path_factory.mktemp("extending"),
        {"conftest.py": CONFTEST, "mine.py": MINE, "my_engine.py": ENGINE, "test_mine.py": TEST},
        *TINY,
        "--gpt-device=cpu",
        "--benchmark-disable",
    )


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """The repository's matrix beside a user's strategies and engines."""
    shutil.copy(TESTS.parent / "benchmarks" / "test_inference.py", pytester.path)
    pytester.makepyfile(mine=MINE, my_engine=ENGINE)
    pytester.makeconftest(CONFTEST)
    return pytester


@pytest.mark.parametrize("name", ["test_strategy", "test_engine", "test_beside_a_picky_one"])
def test_what_was_added_runs(session: Session, name: str) -> None:
    assert session.tests[name].outcome == "passed", session.tests[name].said


@pytest.mark.parametrize(
    ("name", "said"),
    {
        "test_picky": "even_only: 3 devices cannot be paired",
        "test_wrong_world_size": "strategy 'small': ",
        "test_lost_strategy": "strategy 'lost': cannot load mine:Lost: ",
    }.items(),
)
def test_what_does_not_fit_is_one_line(session: Session, name: str, said: str) -> None:
    test = session.tests[name]
    assert test.outcome == "failure"
    assert len(test.said.splitlines()) == 1
    assert test.said.startswith(said)


def test_an_engine_that_cannot_be_imported_is_named(session: Session) -> None:
    test = session.tests["test_lost_engine"]
    assert test.outcome == "failure"
    assert "cannot load my_engine:Lost" in test.said


def test_an_added_strategy_and_engine_are_in_the_matrix(folder: pytest.Pytester) -> None:
    result = folder.runpytest_inprocess("--collect-only", "-q", "--gpt-gpus=2", "--gpt-engine=native,renamed")
    result.stdout.fnmatch_lines(
        [
            "*::test_generate[[]2gpu-all_pipeline[]]",
            "*::test_generate[[]2gpu-all_pipeline-renamed[]]",
        ]
    )


def test_an_added_model_is_found(folder: pytest.Pytester) -> None:
    line = error_line(folder.runpytest_inprocess("--gpt-model=tinny"))
    assert line.startswith("unknown model 'tinny': did you mean tiny")


def test_a_name_that_is_taken_ends_the_session_in_one_line(folder: pytest.Pytester) -> None:
    folder.makeconftest(CONFLICT)
    assert error_line(folder.runpytest_inprocess()).startswith(
        "strategy 'pure_data_parallel': already registered"
    )


def test_a_name_that_is_taken_is_one_line_under_xdist_too(folder: pytest.Pytester) -> None:
    folder.makeconftest(CONFLICT)
    result = folder.runpytest_subprocess("-n1", "-p", "no:hypothesispytest", timeout=HANG_S)
    said = result.stdout.str() + result.stderr.str()
    assert result.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR)
    assert "strategy 'pure_data_parallel': already registered" in said
    assert "INTERNALERROR" not in said
    assert "Traceback" not in said


def test_a_name_that_is_taken_is_one_line_outside_the_matrix_too(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makeconftest(CONFLICT)
    pytester.makepyfile("def test_case(gpt_dist): pass")
    result = pytester.runpytest_inprocess("--tb=short")
    assert "Traceback" not in result.stdout.str()
    assert "registry.py" not in result.stdout.str()
    assert "already registered" in result.stdout.str() + result.stderr.str()
