"""Sessions that several tests look at; each runs once."""

import tomllib

import pytest
import scipy.special  # noqa: F401  before pytester's sessions, which forget what they imported; numpy loads once only

from plugin.sessions import OF_A_WORKER, TESTS, TINY, Session, run_session

REPOSITORY = TESTS.parent
ARGUMENTS = TESTS / "plugin" / "inner_arguments.py"
OWN_CASES = """\
import sys

import pytest

@pytest.mark.benchmark(group="mine")
def test_recorded(gpt_dist):
    first = gpt_dist.run(strategy="pipeline_data_hybrid", gpus=2, new_tokens=5)
    second = gpt_dist.run(new_tokens=3)
    assert first.tokens_per_s > 0
    assert first.latency_s.p50 <= first.latency_s.p99
    assert first.ttft_s < first.latency_s
    assert first.tpot_s > 0
    assert first.itl_s > 0
    assert first.speedup == pytest.approx(2 * first.efficiency)
    assert second.speedup == second.efficiency == 1
    assert first.extra_info["new_tokens"] == 5


def test_half_precision(gpt_dist):
    gpt_dist.run(gpus=2, strategy="tensor_data_hybrid", dtype="bfloat16")


def test_one_new_token(gpt_dist):
    assert gpt_dist.run(new_tokens=1).tpot_s is None


def test_fixed(gpt_dist):
    gpt_dist.run(rounds=4)


def test_without_a_case(gpt_dist):
    pass


def test_the_controller_is_free_of_torch():
    assert "torch" not in sys.modules
    assert "transformers" not in sys.modules
"""


@pytest.fixture(autouse=True)
def _own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions in this process are no workers of xdist, even where this process is one."""
    for name in OF_A_WORKER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The repository's matrix and some cases of a user's own, timed and saved with the repository's flags."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    flags = project["tool"]["pytest"]["ini_options"]["addopts"]
    files = {
        "test_inference.py": (REPOSITORY / "benchmarks" / "test_inference.py").read_text(),
        "test_own.py": OWN_CASES,
    }
    return run_session(
        tmp_path_factory.mktemp("timed"), files, *flags, *TINY, "--gpt-gpus=1,2", "--gpt-device=cpu"
    )


@pytest.fixture(scope="session")
def untimed(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """What gpt_dist.run and gpt_process_group make of right and wrong arguments; nothing is timed."""
    return run_session(
        tmp_path_factory.mktemp("untimed"),
        {"test_arguments.py": ARGUMENTS.read_text()},
        *TINY,
        "--gpt-device=cpu",
        "--benchmark-disable",
        "--benchmark-autosave",
    )
