"""Training through the plugin: suites, ids, a timed and saved case, and trainings in tests of one's own."""

import json
from pathlib import Path

import pytest

from plugin.sessions import Session, run_session

MATRIX = """\
import pytest

@pytest.mark.gpt_dist_matrix(mode="training")
def test_train(gpt_dist, gpus, strategy, engine):
    assert gpt_dist.train(strategy=strategy, gpus=gpus, engine=engine).losses
"""
OWN = """\
import pytest

SAMPLES = [[5, 6, 7, 8, 9], [1, 2, 3], [9, 8, 7, 6], [4, 4]]
HOW = {"samples": SAMPLES, "micro_batch_size": 1, "grad_accumulation": 2, "steps": 3, "optimizer": "sgd", "lr": 0.1,
       "clip": None, "dtype": "float64"}

def test_own(gpt_dist):
    divided = gpt_dist.train(strategy="zero2", gpus=2, model="MODEL", **HOW)
    alone = gpt_dist.train(gpus=1, model="MODEL", **HOW | {"micro_batch_size": 2})
    assert divided.losses == pytest.approx(alone.losses, rel=1e-10)
    assert divided.grad_norms == pytest.approx(alone.grad_norms, rel=1e-9)
    held, whole = divided.memory_bytes[0], alone.memory_bytes[0]
    assert held["gradients"] < whole["gradients"]

def test_own_compressed(gpt_dist):
    how = {"steps": 4, "sequence_length": 8, "model": "MODEL"}
    info = gpt_dist.train(strategy="ddp", gpus=2, compression="topk", compression_share=0.1, **how).extra_info
    assert info["matches_reference"] is None and info["max_gradient_error"] is None
    assert info["compression_ratio"] > 2 and info["loss_gap"] is not None
    assert info["unproven"] == ["gradients", "traffic"]
    assert "inexact by intent: gradients are sent by topk" in info["marks"]

def test_own_lacking(gpt_dist):
    gpt_dist.train(strategy="ddp", gpus=2, model="MODEL", wrap=2)

def test_wrong_argument(gpt_dist):
    gpt_dist.train(model="MODEL", learning_rate=1)

def test_wrong_batch(gpt_dist):
    gpt_dist.train(strategy="ddp", gpus=2, model="MODEL", micro_batch_size=2, global_batch_size=6)

def test_wrong_strategy(gpt_dist):
    gpt_dist.train(strategy="zero4", gpus=2)

def test_wrong_training(gpt_dist):
    gpt_dist.train(strategy="broken", gpus=2, model="MODEL", sequence_length=8)
"""
CONFTEST = """\
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan

class Broken:
    name = "broken"
    divider = "broken_training:SkippedAllReduce"

    def plan(self, gpus):
        return ParallelPlan(Layout(dp=gpus))

def pytest_gpt_dist_register(registry):
    registry.add_training_strategy("broken", "conftest:Broken")
"""
SHAPE = {
    "model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 2, "n_positions": 32, "vocab_size": 101,
}  # fmt: skip
HERE = (
    "--gpt-price=2",
    "--gpt-train-tokens=1000",
    "--gpt-device=cpu",
    "--gpt-train-steps=3",
    "--gpt-rounds=3",
    "--gpt-weights=random",
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One timed case of the matrix, and trainings of one's own."""
    folder = tmp_path_factory.mktemp("training")
    model = folder / "small"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(SHAPE))
    broken = (Path(__file__).parents[1] / "broken_training.py").read_text()
    files = {
        "conftest.py": CONFTEST,
        "broken_training.py": broken,
        "test_train.py": MATRIX,
        "test_own.py": OWN.replace("MODEL", str(model)),
    }
    chosen = (
        "-k",
        "own or wrong or (2gpu and zero3)",
        f"--gpt-model={model}",
        "--gpt-train-sequence-length=8",
    )
    return run_session(folder, files, *HERE, *chosen, "--benchmark-autosave")


def test_a_case_is_timed_and_saved(session: Session) -> None:
    (name,) = (name for name in session.benchmarks if name.startswith("test_train["))
    assert name.startswith("test_train[2gpu-zero3-small-")
    assert name.endswith(".random.s8.n3]")
    info = session.info(name)
    assert (info["mode"], info["unit"]) == ("training", "seconds per label token")
    assert info["matches_reference"] is True
    assert info["certificate_error"] < 1e-12
    assert len(info["losses"]) == len(info["grad_norms"]) == 3
    assert info["module"] == ["FSDPTrainedForward of DTensor"] * 2
    assert info["unproven"] == []
    assert info["train_cost"] == pytest.approx(2 * 2 * info["train_s"] / 3600)
    assert info["tokens_per_s"] == pytest.approx(1 / session.benchmarks[name]["stats"]["mean"])


def test_a_case_says_where_its_time_went(session: Session) -> None:
    (name,) = (name for name in session.benchmarks if name.startswith("test_train["))
    lost = session.info(name)["time_lost"]
    assert set(lost) >= {
        "communication",
        "bubble",
        "imbalance",
        "optimizer",
        "data_loading",
        "schedule_bubble",
        "other",
    }
    assert lost["communication"] > 0
    assert lost["optimizer"] > 0
    assert lost["bubble"] == 0
    assert lost["schedule_bubble"] is None


def test_the_table_has_step_times_and_what_is_exact(session: Session) -> None:
    header = next(
        line for line in session.output.splitlines() if line.startswith("case") and "tokens/s" in line
    )
    assert "step ms" in header


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("test_own", "passed", ""),
        ("test_own_compressed", "passed", ""),
        ("test_own_lacking", "skipped", ""),
        ("test_wrong_argument", "failure", "unknown argument 'learning_rate': "),
        ("test_wrong_batch", "failure", "a global batch of 6 rows is no multiple of 2 (micro batch) × 2"),
        ("test_wrong_strategy", "failure", "unknown training strategy 'zero4': did you mean zero"),
        ("test_wrong_training", "failure", "in float64, with a tiny model: gradient of transformer."),
    ],
)
def test_what_a_test_asks_for(session: Session, name: str, outcome: str, said: str) -> None:
    test = session.tests[name]
    assert test.outcome == outcome, session.output
    assert test.said.startswith(said)
    assert len(test.said.splitlines()) <= 1


SILENT = "def test_{}(gpt_dist): pass\n"


@pytest.mark.parametrize(
    ("arguments", "collected"),
    [
        (("benchmarks",), {"inference"}),
        (("benchmarks", "--gpt-suite=training"), {"training"}),
        (("benchmarks", "--gpt-suite=training,inference"), {"training", "inference"}),
        (("benchmarks/test_training.py",), {"training"}),
        (("benchmarks/test_training.py::test_training",), {"training"}),
        (("elsewhere",), {"training"}),
    ],
)
def test_a_suite_says_what_a_folder_of_benchmarks_has(
    pytester: pytest.Pytester, arguments: tuple[str, ...], collected: set[str]
) -> None:
    for name in ("benchmarks/test_inference.py", "benchmarks/test_training.py", "elsewhere/test_training.py"):
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SILENT.format(path.stem.removeprefix("test_")))
    result = pytester.runpytest_inprocess("--collect-only", "-q", "--gpt-device=cpu", *arguments)
    assert {line.rpartition("::test_")[2] for line in result.outlines if "::" in line} == collected
