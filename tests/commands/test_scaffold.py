"""gpt-dist init: what it writes, what it leaves alone, and that a repository can measure after it."""

import re
import subprocess
from pathlib import Path

import pytest

from plugin.sessions import TESTS, TINY, run_session
from pytest_gpt_dist.cli import main
from pytest_gpt_dist.commands import init
from pytest_gpt_dist.commands.init import next_steps
from pytest_gpt_dist.commands.scaffold import CONFTEST, FILES, WORKFLOW, state, template
from pytest_gpt_dist.errors import UsageError

REPOSITORY = TESTS.parent


@pytest.mark.parametrize("name", FILES)
def test_the_templates_are_this_repositorys_own_files(name: str) -> None:
    assert state(REPOSITORY, name) == "present", f"copy {name} to src/pytest_gpt_dist/templates/{name}"


def test_a_repository_measures_with_what_init_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--path", str(tmp_path)]) == 0
    assert capsys.readouterr().out.partition("\n\n")[0].splitlines() == [f"wrote {name}" for name in FILES]
    session = run_session(tmp_path, {}, "benchmarks", "-k", "1gpu", *TINY, "--gpt-device=cpu")
    assert session.status == 0, session.output
    assert [test.outcome for test in session.tests.values()] == ["passed"]


def test_a_second_init_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--path", str(tmp_path)])
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in FILES}
    capsys.readouterr()
    assert main(["init", "--path", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.partition("\n\n")[0]
    assert printed.splitlines() == [f"is there already: {name}" for name in FILES]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in FILES} == before


def test_a_users_own_file_is_left_alone_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / CONFTEST
    own.write_text("MINE = True\n")
    assert main(["init", "--path", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpt-dist init: conftest.py is there and differs: left alone; for tables of one")
    assert own.read_text() == "MINE = True\n"
    assert {name for name in FILES if state(tmp_path, name) == "present"} == {*FILES} - {CONFTEST}


def test_a_conftest_that_has_the_hook_and_more_is_left_alone_in_silence(tmp_path: Path) -> None:
    (tmp_path / CONFTEST).write_bytes(template(CONFTEST) + b"MINE = True\n")
    assert main(["init", "--path", str(tmp_path)]) == 0


def test_the_workflow_installs_from_where_this_installation_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "git+https://git.example/us/it.git@abc123"
    monkeypatch.setattr(init, "origin", lambda: place)
    assert main(["init", "--path", str(tmp_path)]) == 0
    assert f'PYTEST_GPT_DIST: "{place}"\n' in (tmp_path / WORKFLOW).read_text()
    printed = capsys.readouterr().out
    assert f'"pytest-gpt-dist @ {place}"' in printed
    for step in ("--benchmark-autosave", ".benchmarks/", ".gpt-dist/"):
        assert step in printed
    assert main(["init", "--path", str(tmp_path), "--install-from", "./vendor/it"]) == 0
    assert place in (tmp_path / WORKFLOW).read_text()


def test_a_workflow_without_a_place_fails_in_a_line_and_installs_nothing(tmp_path: Path) -> None:
    (line,) = [line for line in template(WORKFLOW).decode().splitlines() if "PYTEST_GPT_DIST:?" in line]
    done = subprocess.run(
        ["bash", "-e", "-c", f"{line}\necho installs"],
        env={"PYTEST_GPT_DIST": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "fill in where pytest-gpt-dist comes from" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "fill in PYTEST_GPT_DIST" in next(next_steps(None))


def test_nothing_installs_the_bare_name() -> None:
    """It is nobody's on PyPI: whoever took it would run code on the runner."""
    for name in FILES:
        assert not re.search(r"install.* pytest-gpt-dist\b", template(name).decode())


@pytest.mark.parametrize(
    "wrong",
    [
        "pytest-gpt-dist",
        "-r https://a/b",
        "git+https://a/${{ secrets.X }}",
        "/a\nb",
        "https://" + "x" * 10**5,
    ],
)
def test_what_is_no_place_is_refused_in_a_line(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UsageError, match="is no place to install from"):
        template(WORKFLOW, wrong)
    assert main(["init", "--path", str(tmp_path), f"--install-from={wrong}"]) == 4
    assert list(tmp_path.iterdir()) == []


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
