"""Collectives through the plugin: ids, checks, figures, a wrong result, a report."""

from pathlib import Path

import pytest

from plugin.sessions import Session, run_session
from pytest_gpt_dist.config.collectives import KINDS

MATRIX = """\
import pytest

@pytest.mark.gpt_dist_matrix(mode="collectives")
def test_collective(gpt_dist, gpus, strategy, engine):
    assert gpt_dist.measure("collectives", strategy=strategy, gpus=gpus, engine=engine).layout.dp == gpus

def test_unknown(gpt_dist):
    gpt_dist.measure("collectives", strategy="all_redcue-1KiB", gpus=2)

def test_no_size(gpt_dist):
    gpt_dist.measure("collectives", strategy="all_reduce", gpus=2)

def test_alone(gpt_dist):
    gpt_dist.measure("collectives", gpus=1)

def test_too_large(gpt_dist):
    gpt_dist.measure("collectives", strategy="all_reduce-512GiB", gpus=2)
"""
BROKEN = """\
import pytest
import torch.distributed as dist

def break_it():
    dist.all_reduce_before, dist.all_reduce = dist.all_reduce, lambda tensor, *a, **k: (
        None if tensor.numel() > 100 else dist.all_reduce_before(tensor, *a, **k)
    )

def mend_it():
    dist.all_reduce = dist.all_reduce_before

def test_wrong(gpt_dist, gpt_process_group):
    gpt_process_group(2).run(break_it)
    try:
        gpt_dist.measure("collectives", strategy="all_reduce-4KiB", gpus=2)
    finally:
        gpt_process_group(2).run(mend_it)
"""
HERE = ("--gpt-device=cpu", "--gpt-gpus=1,2", "--gpt-rounds=2", "--gpt-collective-sizes=1KiB,32KiB")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Every collective of two sizes on two ranks, timed, with a report; and what has no number."""
    folder = tmp_path_factory.mktemp("collectives")
    files = {"test_collectives.py": MATRIX, "test_broken.py": BROKEN}
    return run_session(folder, files, *HERE, "--gpt-report=report", "--benchmark-autosave")


def test_every_collective_is_checked_and_timed(session: Session) -> None:
    expected = {f"test_collective[2gpu-{kind}-{size}]" for kind in KINDS for size in ("1KiB", "32KiB")}
    assert set(session.benchmarks) == expected, session.output
    for name in expected:
        info = session.info(name)
        assert (info["mode"], info["matches_reference"]) == ("collectives", True)
        assert info["speedup"] is None
        assert info["marks"] == [mark for mark in info["marks"] if "one device" not in mark]


def test_bandwidths_follow_from_size_and_time(session: Session) -> None:
    name = "test_collective[2gpu-all_gather-32KiB]"
    info = session.info(name)
    assert info["bytes"] == 2**15
    assert info["algorithm_bytes_per_s"] == pytest.approx(1 / session.benchmarks[name]["stats"]["mean"])
    assert info["bus_bytes_per_s"] == pytest.approx(info["algorithm_bytes_per_s"] / 2)
    assert info["operation_s"]["mean"] == pytest.approx(2**15 / info["algorithm_bytes_per_s"])
    assert 0 <= info["overlap"] <= 1


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("test_unknown", "failure", "unknown collective 'all_redcue': did you mean all_reduce?"),
        ("test_no_size", "failure", "strategy 'all_reduce': expected a collective and a size"),
        ("test_alone", "failure", "a collective needs 2 devices at least"),
        ("test_too_large", "skipped", "2 ranks need 1,649,267,441,664 bytes each, which are not free"),
        ("test_wrong", "failure", "all_reduce: rank 0 got "),
    ],
)
def test_what_has_no_number_says_why_in_a_line(session: Session, name: str, outcome: str, said: str) -> None:
    test = session.tests[name]
    assert test.outcome == outcome, session.output
    assert test.said.startswith(said)
    assert len(test.said.splitlines()) == 1


def test_table_and_report_have_the_bus_bandwidth(session: Session) -> None:
    header = next(
        line for line in session.output.splitlines() if line.startswith("case") and "bus GB/s" in line
    )
    assert "operation ms" in header
    report = (session.folder / "report" / "performance_report.txt").read_text()
    assert report.startswith("Performance of collectives\n")


def test_degrees_are_no_collective(tmp_path: Path) -> None:
    chosen = ("--gpt-device=cpu", "--gpt-tensor-parallel=2", "-k", "collective")
    session = run_session(tmp_path, {"test_collectives.py": MATRIX}, *chosen)
    assert "collectives divide no model: give --gpt-gpus in place of degrees" in session.output
