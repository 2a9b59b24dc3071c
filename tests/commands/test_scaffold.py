"""gpt-dist init: what it writes, what it leaves alone, and that a repository can measure after it."""

from pathlib import Path

import pytest

from plugin.sessions import TESTS, TINY, run_session
from pytest_gpt_dist.cli import main
from pytest_gpt_dist.commands.scaffold import FILES, state

REPOSITORY = TESTS.parent


@pytest.mark.parametrize("name", FILES)
def test_the_templates_are_this_repositorys_own_files(name: str) -> None:
    assert state(REPOSITORY, name) == "identical", f"copy {name} to src/pytest_gpt_dist/templates/{name}"


def test_a_repository_measures_with_what_init_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--path", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {name}" for name in FILES]
    session = run_session(tmp_path, {}, "benchmarks", "-k", "1gpu", *TINY, "--gpt-device=cpu")
    assert session.status == 0, session.output
    assert [test.outcome for test in session.tests.values()] == ["passed"]


def test_a_second_init_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--path", str(tmp_path)])
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in FILES}
    capsys.readouterr()
    assert main(["init", "--path", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"is there already: {name}" for name in FILES]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in FILES} == before


def test_a_users_own_file_is_left_alone_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "benchmarks" / "conftest.py"
    own.parent.mkdir()
    own.write_text("MINE = True\n")
    assert main(["init", "--path", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpt-dist init: benchmarks/conftest.py is there and differs: left alone")
    assert own.read_text() == "MINE = True\n"
    assert {name for name in FILES if state(tmp_path, name) == "identical"} == {*FILES} - {
        "benchmarks/conftest.py"
    }


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / FILES[0]
    link.parent.mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    assert main(["init", "--path", str(tmp_path)]) == 1
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("file", "file is no folder"),
        ("blocked", "cannot be read: Not a directory"),
        ("x" * 10**5, "is no folder"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "benchmarks").touch()
    assert main(["init", "--path", str(tmp_path / path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
