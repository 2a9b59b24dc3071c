"""The gpt-dist command, as a user types it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpt_dist.cli import main


def saved(path: Path, *seconds: float, cores: int = 2, day: int = 1) -> Path:
    info = {"fingerprint": {"cores": cores}, "launches": [[second] for second in seconds]}
    cases = [{"fullname": "t.py::test_x", "extra_info": info}]
    path.write_text(json.dumps({"benchmarks": cases, "datetime": f"2026-11-{day:02}T00:00:00+00:00"}))
    return path


def test_plan_shows_how_each_strategy_divides_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", "gpt2-xl", "--gpus", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "gpt2-xl in bfloat16"
    assert [line.split()[1] for line in lines[3:]] == [
        "pure_data_parallel",
        "tensor_data_hybrid",
        "pipeline_data_hybrid",
        "full_model_parallel",
    ]
    assert lines[-1].endswith("= tensor_data_hybrid")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required"),
        (["plan", "--gpus", "two"], "expected device counts"),
        (["plan", "--model", "gpt2-xxl"], "did you mean gpt2-xl"),
        (["plan", "--dtype", "int3"], "dtype 'int3' is not supported"),
        (["compare", "nothing.json", "nowhere.json"], "nowhere.json cannot be read"),
        (["guess"], "invalid choice"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_4(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pytest_gpt_dist.cli import main; sys.exit(main())",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_slower_session_is_regressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = saved(tmp_path / "base.json", 1.0), saved(tmp_path / "new.json", 2.0)
    assert main(["compare", str(base), str(new)]) == 0
    assert main(["compare", "--fail-on", "regressed", str(base), str(new)]) == 1
    assert "1 regressed, which fails the session: test_x" in capsys.readouterr().out


def test_many_sessions_of_a_folder_resolve_what_one_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for number in range(12):
        saved(folder / f"{number}.json", 1.0 + 0.001 * (number % 3))
    new = saved(tmp_path / "new.json", 1.08)
    assert main(["compare", "--fail-on", "regressed", str(folder / "0.json"), str(new)]) == 0
    assert "inconclusive" in capsys.readouterr().out
    assert main(["compare", "--fail-on", "regressed", str(folder), str(new)]) == 1


def test_another_machine_does_not_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = saved(tmp_path / "base.json", 1.0, cores=64), saved(tmp_path / "new.json", 2.0)
    assert main(["compare", "--fail-on", "regressed", str(base), str(new)]) == 0
    assert "saved sessions differ in cores" in capsys.readouterr().out


def test_a_session_in_the_folder_of_earlier_ones_is_not_its_own_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = saved(tmp_path / "new.json", 1.0)
    assert main(["compare", str(tmp_path), str(new)]) == 0
    assert "1 no-baseline" in capsys.readouterr().out


def test_many_launches_are_compared_with_those_of_the_newest_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    saved(folder / "a.json", *[1.0] * 9, day=2)
    saved(folder / "b.json", *[2.0] * 9, day=1)
    saved(folder / "c.json", *[4.0] * 9, day=3, cores=64)
    new = saved(tmp_path / "new.json", *[1.5] * 8, day=4)
    assert main(["compare", "--fail-on", "regressed", str(folder), str(new)]) == 0
    launches = capsys.readouterr().out.partition("They gate nothing")[2]
    assert re.search(r"test_x +9 +8 +\+50\.0% +\+50\.0% to \+50\.0%", launches)


def test_few_launches_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = saved(tmp_path / "base.json", *[1.0] * 9), saved(tmp_path / "new.json", *[1.5] * 7)
    main(["compare", str(base), str(new)])
    assert "They gate nothing" not in capsys.readouterr().out


def test_markdown_has_every_table_as_github_renders_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = saved(tmp_path / "base.json", *[1.0] * 8), saved(tmp_path / "new.json", *[1.5] * 8)
    main(["compare", "--markdown", str(base), str(new)])
    printed = capsys.readouterr().out
    assert printed.count("\n|--") == 2
    assert printed.count("\n| test_x ") == 2


def test_a_command_imports_what_it_needs_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pytest_gpt_dist.cli import main; main(sys.argv[1:]);"
        " print(sorted({'torch', 'transformers', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    for arguments, heavy in (
        (["init", "--path", str(tmp_path)], "[]"),
        (["plan", "--model", "gpt2"], "[]"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.splitlines()[-1] == heavy
