"""gpt-dist export: saved cases as trackers read them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.cli import main
from pytest_gpt_dist.results.heading import series
from saved_cases import INFO, saved_case

GITHUB = ("--format", "github-action-benchmark")
BENCHER = ("--format", "bencher")


def saved(path: Path, *cases: dict[str, Any], day: int = 1) -> Path:
    """A file with these cases, each changed from the usual one, and somebody else's benchmark."""
    benchmarks: list[dict[str, Any]] = [{"fullname": "other", "extra_info": {}}]
    for number, changes in enumerate(cases):
        case = saved_case(**changes)
        benchmarks.append({"fullname": f"t.py::test_{number}", "extra_info": case.info})
    path.write_text(json.dumps({"benchmarks": benchmarks, "datetime": f"2026-11-{day:02}T00:00:00+00:00"}))
    return path


def exported(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert main(["export", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_github_action_benchmark_gets_tokens_per_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "a.json", {"marks": ["throttled"]})
    assert exported(capsys, file, *GITHUB) == [
        {
            "name": series("t.py::test_0", INFO),
            "unit": "tokens/s",
            "value": 100.0,
            "range": "99.0099 to 101.01",
            "extra": "rounds: 3\nspeed-up: 1\nefficiency: 1\nlargest error of logits: 1e-07\nmarks: throttled",
        }
    ]


def test_a_latency_is_a_file_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Smaller is better there, which is one word for a whole file."""
    (entry,) = exported(capsys, saved(tmp_path / "a.json", {}), *GITHUB, "--figure=ttft_s")
    assert (entry["unit"], entry["value"], entry["range"]) == ("s", 0.03, "p99 0.04")


def test_bencher_gets_throughput_and_latencies_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "a.json", {"tpot_s": None}, {"latency_s": {"mean": 5.0, "p99": 4.0}})
    first, second = exported(capsys, file, *BENCHER).values()
    assert first == {
        "throughput": {"value": 100.0, "lower_value": pytest.approx(99.0099), "upper_value": 1 / 0.0099},
        "latency": {"value": 4e8, "upper_value": 4.7e8},
        "time-to-first-token": {"value": 3e7, "upper_value": 4e7},
    }
    assert second["latency"] == {"value": 5e9, "upper_value": 5e9}


def test_workloads_and_machines_of_one_test_are_series_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop = saved(tmp_path / "laptop.json", {})
    gpus = saved(
        tmp_path / "gpus.json",
        {"model": "gpt2-xl", "dtype": "bfloat16", "device": "cuda", "device_name": "NVIDIA H200"},
    )
    names = exported(capsys, laptop, gpus, *BENCHER)
    assert len(names) == 2
    assert any("gpt2-xl" in name and "NVIDIA H200" in name for name in names)


def test_of_several_results_of_a_series_the_newest_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = saved(tmp_path / "a.json", {"tokens_per_s": 90.0}, day=2)
    old = saved(tmp_path / "b.json", {"tokens_per_s": 80.0}, day=1)
    assert main(["export", str(new), str(old), *GITHUB]) == 0
    printed = capsys.readouterr()
    assert [entry["value"] for entry in json.loads(printed.out)] == [90.0]
    assert "1 left out" in printed.err


def test_the_saved_name_of_a_series_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (entry,) = exported(capsys, saved(tmp_path / "a.json", {"series": "mine"}), *GITHUB)
    assert entry["name"] == "mine"


def test_what_is_damaged_costs_itself_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad: list[dict[str, Any]] = [{"launches": []}, {"tokens_per_s": -1.0}, {"layout": 3}, {"series": 7}]
    file = saved(tmp_path / "a.json", {}, *bad, {"tokens_per_s": None})
    assert main(["export", str(file), *GITHUB]) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 1
    assert [line.startswith("skipped: ") for line in printed.err.splitlines()] == [True] * len(bad)


def test_a_file_is_written_in_place_of_the_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    assert main(["export", str(saved(tmp_path / "a.json", {})), *BENCHER, "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    assert len(json.loads(output.read_text())) == 1


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({}, (*BENCHER, "--figure=ttft_s"), "--figure has no effect with --format bencher"),
        ({"ttft_s": None}, (*GITHUB, "--figure=ttft_s"), "no case that can be exported has this figure"),
        (
            {},
            (*GITHUB, "--output=/no/such/folder/file"),
            "/no/such/folder/file cannot be written: No such file",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    assert main(["export", str(saved(tmp_path / "a.json", changes)), *arguments]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gpt-dist export: {said}")
