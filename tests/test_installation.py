"""Where this package came from, and commands that install from there or name packages of others."""

from typing import Any

import pytest

from pytest_gpt_dist import installation
from pytest_gpt_dist.installation import (
    install_extra,
    install_itself,
    install_needed,
    read_origin,
    requirement,
)

GIT = "https://git.example/us/pytest-gpt-dist.git"


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({"url": GIT, "vcs_info": {"vcs": "git", "commit_id": "abc123"}}, f"git+{GIT}@abc123"),
        (
            {"url": GIT, "vcs_info": {"vcs": "git", "commit_id": "abc123"}, "subdirectory": "in/side"},
            f"git+{GIT}@abc123#subdirectory=in/side",
        ),
        ({"url": "https://files.example/a.whl", "archive_info": {}}, "https://files.example/a.whl"),
        ({"url": "file:///home/me/a%20b", "dir_info": {"editable": True}}, "/home/me/a b"),
        (None, None),
        ({"url": 3}, None),
        ([], None),
    ],
)
def test_the_installer_tells_where_a_package_came_from(told: Any, place: str | None) -> None:
    assert read_origin(told) == place


def test_a_project_asks_for_a_place_and_never_for_the_bare_name() -> None:
    assert requirement(f"git+{GIT}@abc") == f"pytest-gpt-dist @ git+{GIT}@abc"
    assert requirement("/home/me/a b") == "pytest-gpt-dist @ file:///home/me/a%20b"


def test_what_an_extra_brings_is_named_with_its_versions() -> None:
    assert install_extra("report") == "pip install 'jinja2>=3.1' 'matplotlib>=3.10' 'pillow>=10'"
    assert install_needed("torch") == "pip install 'torch>=2.11'"


def test_no_command_installs_the_bare_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is known of the installation."""
    monkeypatch.setattr(installation, "_installed", lambda: None)
    monkeypatch.setattr(installation, "_needed", lambda: ())
    assert installation.origin() is None
    for command in (install_extra("report"), install_needed("torch"), install_itself()):
        assert "pip install pytest-gpt-dist" not in command
        assert "repository" in command or command.startswith("pip install /")
