"""gpt-dist report, as a user types it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.cli import main
from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, one_line
from pytest_gpt_dist.installation import install_extra
from pytest_gpt_dist.report import folder as report_folder
from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.results.saved import read_saved, revision_of
from saved_cases import saved_case

REAL = Path(__file__).parents[2] / "scripts" / "results"
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
    text = (real / "report.html").read_text()
    assert text.partition('<div class="charts">')[2].count("data:image/png;base64,") == 2 * len(CHARTS)


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
    stale = (
        "comprehensive_performance_report_20200101_000000.md",
        "memory_per_rank_3.png",
        "scaling_curves.png",  # a chart of several devices, which none of these cases has
    )
    others = ("plan.md", "mine_3.png")
    for name in (*stale, *others):
        (report / name).touch()
    assert main(["report", str(folder), "--output", str(report)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert str(report / "memory_per_rank_2.png") in lines
    assert {str(path) for path in report.iterdir()} == {*lines, *(str(report / name) for name in others)}
    assert "group 2 does not compare: it differs from group 1 in " in printed.err
    assert "c.json is damaged" in printed.err
    assert "d.json is damaged" in printed.err
    text = (report / "performance_report.txt").read_text()
    assert "c.json is damaged" in text
    assert "2 files unread: " in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is damaged, or not saved by pytest-benchmark"),
        ("[1]", "is damaged, or not saved by pytest-benchmark"),
        ('{"benchmarks": 3}', "is damaged, or not saved by pytest-benchmark"),
        ('{"benchmarks": [], "gpt_dist": {"verdicts": 7}}', "no case of pytest-gpt-dist"),
        ("[" * 200_000, "is damaged, or not saved by pytest-benchmark"),
        ('{"benchmarks": [{"fullname": "t", "extra_info": {}}]}', "no case of pytest-gpt-dist"),
        ('{"benchmarks": [{"fullname": "t", "extra_info": {"fingerprint": {}, "launches": 1}}]}', "KeyError"),
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


def test_the_revision_of_the_code_is_that_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.json")
    commit = {"id": "0123456789abcdef", "dirty": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit_info": commit}))
    (case,) = read_saved([path]).cases
    assert case.revision == "0123456789ab with uncommitted changes"


@pytest.mark.parametrize("commit", [None, {}, {"id": "unversioned", "dirty": False}, "text"])
def test_code_in_no_repository_has_no_revision(commit: object) -> None:
    assert revision_of(commit) == ""


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.json")
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_saved([path]).cases) == 1


def test_a_case_without_a_fingerprint_is_left_out_and_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.json")
    content = json.loads(path.read_text())
    bare = {key: value for key, value in saved_case(2).info.items() if key != "fingerprint"}
    content["benchmarks"].append({"fullname": "b.py::bare", "extra_info": bare})
    path.write_text(json.dumps(content))
    (note,) = find(read_saved([path]).cases).notes
    assert note == f"left out: not usable (KeyError: 'fingerprint'): b.py::bare in {path}"


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A folder that nobody can look into by its path, which is longer than the system allows."""
    place = os.open(tmp_path, os.O_RDONLY)
    path = tmp_path
    while len(str(path)) < os.pathconf("/", "PC_PATH_MAX"):
        path /= "f" * 200
        os.mkdir(path.name, dir_fd=place)
        inner = os.open(path.name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    return path


def test_a_folder_that_cannot_be_entered_is_said(tmp_path: Path, unreadable: Path) -> None:
    saved(tmp_path / "a.json")
    found = read_saved([tmp_path])
    assert len(found.cases) == 1
    assert found.skipped == (
        f"skipped: {one_line(unreadable, LONGEST_PATH)} cannot be read: File name too long",
    )


def test_a_folder_that_is_given_and_cannot_be_read_is_an_error(unreadable: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        read_saved([unreadable])


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
    monkeypatch.setattr(report_folder, "NEEDED", ("no_such_library",))
    assert main(["report", str(tmp_path), "--output", str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"needs no_such_library: {install_extra('report')}")
