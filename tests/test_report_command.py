"""gpt-dist report, as a user types it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.cli import main
from pytest_gpt_dist.report import libraries
from pytest_gpt_dist.report.saved import read_saved
from saved_cases import saved_case

REAL = Path(__file__).parents[1] / "benchmarks" / "results"
CHARTS = {
    "throughput_comparison.png",
    "latency_comparison.png",
    "parallel_efficiency.png",
    "lost_efficiency.png",
    "avg_throughput_per_gpu.png",
    "scaling_curves.png",
    "memory_per_rank.png",
    "latency_distribution.png",
}


def saved(path: Path, **changes: Any) -> Path:
    """A file with one case, as pytest-benchmark saves it."""
    case = saved_case(**changes)
    benchmarks = [{"fullname": case.test, "extra_info": case.info}, {"fullname": "other", "extra_info": {}}]
    path.write_text(json.dumps({"benchmarks": benchmarks, "datetime": case.saved_at}))
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the results that this repository keeps."""
    folder = tmp_path_factory.mktemp("real") / "new" / "report"
    assert main(["report", str(REAL / "inference_cpu.json"), "--output", str(folder)]) == 0
    return folder


def test_every_file_is_written(real: Path) -> None:
    names = {path.name for path in real.iterdir()}
    (dated,) = {name for name in names if name.endswith(".md")}
    assert re.fullmatch(r"comprehensive_performance_report_\d{8}_\d{6}\.md", dated)
    assert names - {dated} == CHARTS | {"performance_summary.csv", "performance_report.txt", "report.html"}


def test_the_figures_are_those_of_the_file(real: Path) -> None:
    rows = (real / "performance_summary.csv").read_text().splitlines()
    benchmarks = json.loads((REAL / "inference_cpu.json").read_text())["benchmarks"]
    assert len(rows) == 1 + len(benchmarks)
    for benchmark in benchmarks:
        (row,) = [row for row in rows if f',"{benchmark["fullname"]}",' in row]
        assert f",{benchmark['extra_info']['tokens_per_s']!r}," in row


def test_the_pictures_of_the_page_are_those_of_the_folder(real: Path) -> None:
    assert (real / "report.html").read_text().count("data:image/png;base64,") == 2 * len(CHARTS)


def test_another_group_has_files_of_its_own_and_what_is_of_no_group_any_more_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report = tmp_path / "saved", tmp_path / "report"
    folder.mkdir()
    saved(folder / "a.json")
    saved(folder / "b.json", model="other")
    (folder / "c.json").write_text("{")
    (folder / "d.json").write_text('{"results": []}')
    report.mkdir()
    stale = ("comprehensive_performance_report_20200101_000000.md", "scaling_curves_3.png")
    others = ("plan.md", "mine_3.png")
    for name in (*stale, *others):
        (report / name).touch()
    assert main(["report", str(folder), "--output", str(report)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert str(report / "scaling_curves_2.png") in lines
    assert {str(path) for path in report.iterdir()} == {*lines, *(str(report / name) for name in others)}
    assert "group 2 does not compare with group 1" in printed.err
    assert "c.json is damaged" in printed.err
    assert "d.json is damaged" in printed.err
    text = (report / "performance_report.txt").read_text()
    assert "c.json is damaged" in text
    assert "Not in this answer: 2 left out" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is damaged, or not saved by pytest-benchmark"),
        ("[1]", "is damaged, or not saved by pytest-benchmark"),
        ('{"benchmarks": 3}', "is damaged, or not saved by pytest-benchmark"),
        ('{"benchmarks": [], "gpt_dist": {"verdicts": 7}}', "is damaged, or not saved by pytest-benchmark"),
        ("[" * 200_000, "is damaged, or not saved by pytest-benchmark"),
        ('{"benchmarks": [{"fullname": "t", "extra_info": {}}]}', "no case of pytest-gpt-dist"),
        ('{"benchmarks": [{"fullname": "t", "extra_info": {"fingerprint": {}}}]}', "KeyError"),
    ],
)
def test_what_is_no_result_is_one_line_and_exit_status_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert main(["report", str(path), "--output", str(tmp_path / "report")]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "report").exists()


def test_a_verdict_that_names_no_case_costs_the_file_nothing_else(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"gpt_dist": {"verdicts": [7]}}))
    found = read_saved([path])
    assert [case.verdicts for case in found.cases] == [()]
    assert found.skipped == (f"skipped: verdicts that name no case, in {path}",)


def test_an_empty_folder_is_one_line_and_exit_status_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "report")]) == 4
    assert "no case of pytest-gpt-dist" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_line_and_exit_status_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "a.json")
    assert main(["report", str(file), "--output", str(file / "below")]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written: Not a directory" in line


@pytest.mark.parametrize("arguments", [[], ["a.json"], ["--output", "x"]])
def test_an_incomplete_command_is_exit_status_4(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    assert ended.value.code == 4


def test_a_missing_library_is_the_command_that_installs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "NEEDED", ("no_such_library",))
    assert main(["report", str(tmp_path), "--output", str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("needs no_such_library: pip install 'pytest-gpt-dist[report]'")
