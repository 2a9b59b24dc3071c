"""What the doctor says of packages."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pytest_gpt_dist.doctor import packages
from pytest_gpt_dist.doctor.packages import judge, look_at_packages
from pytest_gpt_dist.installation import install_extra

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    ("found", "state", "seen"),
    [
        ("2.11", "ok", "2.11"),
        ("2.13.0+cpu", "ok", "2.13.0+cpu"),
        ("2.14.0.dev20261101", "ok", "2.14.0.dev20261101"),
        ("1.9.0", "fault", "1.9.0, which is not >=2.11"),
        ("2.11rc1", "fault", "2.11rc1, which is not >=2.11"),
        ("newest", "fault", "newest, which is no version"),
        (None, "fault", "not installed"),
    ],
)
def test_a_version_is_held_against_what_is_asked_for(found: str | None, state: str, seen: str) -> None:
    finding = judge(Requirement("torch>=2.11"), found)
    assert (finding.subject, finding.state, finding.seen) == ("torch", state, seen)
    assert finding.remedy == ("" if state == "ok" else "pip install 'torch>=2.11'")


def test_an_extra_that_is_missing_is_a_warning_that_says_what_there_is_not() -> None:
    finding = judge(Requirement("gguf>=0.19; extra == 'llama-cpp'"), None, "llama-cpp")
    assert (finding.state, finding.seen) == (
        "warning",
        "not installed: cases of the engine llama_cpp are skipped",
    )
    assert finding.remedy == install_extra("llama-cpp")


def test_every_package_that_this_one_needs_is_looked_at_once() -> None:
    subjects = [finding.subject for finding in look_at_packages()]
    (needed,) = re.findall(r"^dependencies = \[\n(.*?)^\]", PYPROJECT.read_text(), re.MULTILINE | re.DOTALL)
    named = re.findall(r'^  "([\w-]+)', needed, re.MULTILINE)
    of_extras = {"ctranslate2", "llama-cpp-python", "gguf", "matplotlib", "jinja2", "pillow"}
    assert set(named) | of_extras == set(subjects)
    assert len(subjects) == len(set(subjects))


def test_a_package_without_metadata_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str | None:
        return None if name == "numpy" else "99"

    monkeypatch.setattr(packages, "version", version)
    bad = [finding for finding in look_at_packages() if finding.state != "ok"]
    assert [(finding.subject, finding.seen) for finding in bad] == [("numpy", "not installed")]


def test_where_this_package_is_not_installed_only_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_OWN", "no-such-package-of-anybody")
    (found,) = look_at_packages()
    assert found.state == "warning"
