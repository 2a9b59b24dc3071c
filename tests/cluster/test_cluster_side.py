"""Which files the ranks of a side import from."""

import os
import sys
from pathlib import Path

import pytest

import pytest_gpt_dist
from pytest_gpt_dist.cluster.code_version import OWN, Side

PACKAGE = Path(pytest_gpt_dist.__file__).parents[1].resolve()


def test_the_own_side_has_the_controllers_path() -> None:
    assert OWN.sys_path(["/a", "/b/../c"], ["/server"]) == ("/a", "/c")
    assert OWN.environment({"X": "1"}) == {"X": "1"}


def test_a_worktree_stands_for_what_is_in_the_repository_and_for_nothing_else(tmp_path: Path) -> None:
    side = Side(repository=Path("/repo"), worktree=tmp_path)
    mine = ["/repo", "/repo/src", "/repository/src", "/usr/lib/python3", sys.prefix]
    assert side.sys_path(mine, []) == (
        str(tmp_path), str(tmp_path / "src"), "/repository/src", "/usr/lib/python3", os.path.abspath(sys.prefix),
    )  # fmt: skip


def test_an_environment_in_the_repository_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/repo/.venv")
    monkeypatch.setattr(sys, "base_prefix", "/repo/.venv")
    side = Side(repository=Path("/repo"), worktree=tmp_path)
    kept = ("/repo/.venv/lib/x", "/repo/other/lib/python3.12/site-packages")
    assert side.sys_path(kept, []) == kept


@pytest.mark.parametrize("prefix", ["/usr", "/usr/src/app"])
def test_a_repository_in_an_environment_is_under_test_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    side = Side(repository=Path("/usr/src/app"), worktree=tmp_path)
    libraries = "/usr/src/app/lib/python3.12/site-packages"
    assert side.sys_path(["/usr/src/app/code", libraries], []) == (str(tmp_path / "code"), libraries)


def test_a_link_into_the_repository_is_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "repo" / "src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "repo" / "src")
    side = Side(repository=(tmp_path / "repo").resolve(), worktree=tmp_path / "tree")
    assert side.sys_path([str(tmp_path / "link")], []) == (str(tmp_path / "tree" / "src"),)


def test_another_interpreters_own_modules_come_first(tmp_path: Path) -> None:
    side = Side(python="/other/python", repository=Path("/repo"))
    mine = ["/repo/benchmarks", "/usr/lib/python3", "/repo/src"]
    assert side.sys_path(mine, ["/other/lib", "/repo/src"]) == ("/other/lib", "/repo/src", "/repo/benchmarks")


def test_a_server_imports_the_package_of_its_worktree(tmp_path: Path) -> None:
    repository = PACKAGE.parent
    side = Side(repository=repository, worktree=tmp_path)
    moved = str(tmp_path / PACKAGE.relative_to(repository))
    if "site-packages" in PACKAGE.parts:
        assert side.environment({}) == {}  # installed: no revision of the repository has it
    else:
        assert side.environment({}) == {"PYTHONPATH": moved}
        assert side.environment({"PYTHONPATH": "/x"})["PYTHONPATH"] == os.pathsep.join([moved, "/x"])
