"""A revision's files beside the working tree, with real repositories."""

import sys
from pathlib import Path

import pytest

from pytest_gpt_dist.ab.other_side import find_against
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.git.worktree import add_worktree, find_revision
from repositories import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "a repository"
    (folder / "below").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "below" / "file").write_text("old")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    (folder / "below" / "file").write_text("new")
    return folder


def listed(repository: Path) -> int:
    return git(repository, "worktree", "list", "--porcelain").count("worktree ")


def test_a_worktree_has_the_files_of_the_revision_and_goes_without_a_trace(
    repository: Path, tmp_path: Path
) -> None:
    found = find_revision(repository / "below", "HEAD")
    assert found == (repository.resolve(), git(repository, "rev-parse", "HEAD"))
    worktree = add_worktree(*found, tmp_path / "tree")
    assert (tmp_path / "tree" / "below" / "file").read_text() == "old"
    assert (repository / "below" / "file").read_text() == "new"
    worktree.remove()
    assert not (tmp_path / "tree").exists()
    assert listed(repository) == 1


def test_worktrees_of_others_are_left_alone_even_where_their_folders_are_not_seen(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "worktree", "add", "--detach", "--quiet", str(tmp_path / "theirs"), "HEAD")
    (tmp_path / "theirs").rename(tmp_path / "elsewhere")
    revision = git(repository, "rev-parse", "HEAD")
    add_worktree(repository, revision, tmp_path / "tree").remove()
    assert listed(repository) == 2


def test_a_checkout_that_fails_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git cannot check 000000000000 out"):
        add_worktree(repository, "0" * 40, tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert listed(repository) == 1


def test_no_hook_of_the_repository_runs(repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'ran'}'\n")
    hook.chmod(0o755)
    add_worktree(repository, git(repository, "rev-parse", "HEAD"), tmp_path / "tree").remove()
    assert not (tmp_path / "ran").exists()


def test_what_a_git_hook_puts_into_the_environment_changes_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(repository, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert find_revision(repository, "HEAD") == (repository.resolve(), head)
    add_worktree(repository, head, tmp_path / "tree").remove()
    assert not (tmp_path / "index").exists()


def test_outside_of_a_repository_gits_own_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is in no git repository that can be read: .*not a git repository"):
        find_revision(tmp_path, "HEAD")


def test_a_name_is_an_interpreter_where_it_is_a_file_and_else_a_revision(repository: Path) -> None:
    python = find_against(sys.executable, repository, repository)
    assert (python.python, python.revision) == (sys.executable, None)
    revision = find_against("HEAD", repository, repository)
    assert revision.revision == git(repository, "rev-parse", "HEAD")
    git(repository, "branch", "below/file")
    assert find_against("below/file", repository, repository / "below").revision == revision.revision


@pytest.mark.parametrize("name", ["no-such-branch", "--help", "HEAD:below/file", "below/file"])
def test_what_is_neither_is_one_line(repository: Path, name: str) -> None:
    with pytest.raises(UsageError, match="neither a revision of the git repository"):
        find_against(name, repository, repository)
