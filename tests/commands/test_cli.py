"""The gpt-dist command, as a user types it."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGINT

import pytest

from patience import HANG_S
from pytest_gpt_dist.cli import main

# Ctrl-C is ignored by what a shell started in the background, and so by all that this starts.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    " from pytest_gpt_dist.cli import main; sys.exit(main())"
)
ENDLESS = ["dataset", "generate", "--samples=1000000", "--max-words=1000", "--output"]


def started(
    arguments: list[str], stderr: int = subprocess.PIPE, cwd: Path | None = None, **environment: str
) -> subprocess.Popen[str]:
    watched = {name: value for name, value in os.environ.items() if name != "CI"} | {"TERM": "xterm"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=cwd,
        env=watched | environment,
    )


def wait_until(condition: Callable[[], object]) -> None:
    patience_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < patience_s
        time.sleep(0.01)


def saved(path: Path, *seconds: float, cores: int = 2, day: int = 1) -> Path:
    info = {"fingerprint": {"cores": cores}, "launches": [[second] for second in seconds]}
    cases = [{"fullname": "t.py::test_x", "extra_info": info}]
    path.write_text(json.dumps({"benchmarks": cases, "datetime": f"2026-11-{day:02}T00:00:00+00:00"}))
    return path


def test_plan_shows_how_each_strategy_divides_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", "gpt2-xl", "--dtype", "bfloat16", "--gpus", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "gpt2-xl in bfloat16"
    assert [line.split()[1] for line in lines[4:-1]] == [
        "pure_data_parallel",
        "tensor_data_hybrid",
        "pipeline_data_hybrid",
        "full_model_parallel",
    ]
    assert lines[-1] == "  = tensor_data_hybrid"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--gpus", "two"], "expected device counts"),
        (["plan", "--gpus", str(10**30)], "expected device counts such as 1,2,4, none above 4,096"),
        (["x" * 10**5], "invalid choice: 'xxx"),
        (["plan", "--model", "gpt2-xxl"], "did you mean gpt2-xl"),
        (["plan", "--dtype", "int3"], "dtype 'int3' is not supported"),
        (["compare", "nothing.json", "nowhere.json"], "nowhere.json cannot be read"),
        (
            ["compare", "--min-effect=nan", "a", "b"],
            "min_effect is nan: give the smallest slowdown that matters",
        ),
        (["compare", "--min-effect=inf", "a", "b"], "min_effect is inf: give"),
        (["compare", "--min-effect=-0.1", "a", "b"], "min_effect is -0.1: give"),
        (["compare", f"--min-effect={'9' * 100_000}x", "a", "b"], "is no number"),
        (["dataset", "generate", "--output=a", f"--samples={'9' * 100_000}"], "invalid int value"),
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
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 4
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 1000


@pytest.mark.parametrize("group", [[], ["dataset"]])
def test_a_command_without_an_action_prints_its_help(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(group) == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: gpt-dist", *group]))


def test_a_session_compared_with_itself_is_said_and_exit_status_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = saved(tmp_path / "new.json", 1.0)
    copied = saved(tmp_path / "copied.json", 1.0)
    for base in (new, copied):
        assert main(["compare", str(base), str(new)]) == 4
        assert capsys.readouterr() == (
            "",
            f"gpt-dist compare: {new} is no baseline for itself: give a session from before it as BASE\n",
        )
    older = saved(tmp_path / "older.json", 1.1)
    assert main(["compare", str(new), str(older), str(new)]) == 0


def test_what_cannot_be_read_of_a_folder_is_said_beside_the_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    saved(folder / "0001.json", 1.001)
    for number in range(2, 20):
        (folder / f"{number:04}.json").write_text("[" * 10_000)
    assert main(["compare", str(folder), str(saved(tmp_path / "new.json", 1.0))]) == 0
    printed = capsys.readouterr()
    assert "1 inconclusive" in printed.out
    assert printed.err.splitlines()[0].startswith(f"skipped: {folder / '0019.json'} is damaged")
    assert printed.err.splitlines()[-1] == "and 8 more such lines"


def test_a_terminal_that_is_not_utf_8_gets_the_table_with_stand_ins(tmp_path: Path) -> None:
    with started(["plan", "--model=gpt2", "--gpus=2"], PYTHONIOENCODING="ascii") as process:
        printed, said = process.communicate(timeout=60)
    assert said == ""
    assert "dp2-pp1-tp1" in printed
    assert "\\" not in printed


def test_a_slower_session_is_regressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = saved(tmp_path / "base.json", *[1.0] * 4), saved(tmp_path / "new.json", *[2.0] * 4)
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
    printed = capsys.readouterr().out
    assert "1 no-baseline" in printed
    assert "no other saved session has this case" in printed


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
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == heavy


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_who_reads_is_no_error(unbuffered: str) -> None:
    with started(["plan"], PYTHONUNBUFFERED=unbuffered) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(HANG_S) == 141
        assert process.stderr.read() == ""


def test_ctrl_c_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    with started([*ENDLESS, str(tmp_path / "mine.jsonl")]) as process:
        wait_until(lambda: list(tmp_path.iterdir()))
        process.send_signal(SIGINT)
        printed, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert (printed, said) == ("", "gpt-dist dataset: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_comes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    with started(["dataset", "generate", "--samples=20000", "--output", str(file)]) as process:
        wait_until(lambda: list(tmp_path.iterdir()))
        file.write_text("mine")
        assert process.wait(HANG_S) == 4
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_terminal_is_told_how_far_it_is_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    with started([*ENDLESS, str(tmp_path / "mine.jsonl")], stderr=terminal) as process:
        os.close(terminal)
        said = os.read(controller, 10_000).decode()
        process.send_signal(SIGINT)
        with suppress(OSError):  # how the end of a terminal reads
            while part := os.read(controller, 10_000):
                said += part.decode()
    os.close(controller)
    first, *_, last = said.split("\x1b[K")
    assert re.match(r"\r[\d,]+ of 1,000,000 prompts, about .* left: /", first)
    assert said.removesuffix("\x1b[K" + last).endswith("\r")
    assert last.split() == ["gpt-dist", "dataset:", "interrupted"]


def test_what_a_terminal_cannot_encode_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "ü.jsonl").write_text("{}")
    with started(["dataset", "validate", "ü.jsonl"], cwd=tmp_path, PYTHONIOENCODING="ascii") as process:
        printed, said = process.communicate(timeout=HANG_S)
    assert (process.returncode, said) == (1, "")
    assert printed.startswith("\\xfc.jsonl:1: ")


def test_a_full_disk_is_one_line() -> None:
    program = 'exec "$@" > /dev/full'
    command = ["sh", "-c", program, "sh", sys.executable, "-c", COMMAND, "plan", "--model", "gpt2-mini"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False)
    assert done.returncode == os.EX_IOERR
    assert done.stderr == "gpt-dist: the output cannot be written: No space left on device\n"
