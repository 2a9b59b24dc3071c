"""Pytest sessions of their own, as a user starts them, and what they leave behind."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from patience import HANG_S

TESTS = Path(__file__).parents[1]
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
# pytest-benchmark takes a session for a worker of xdist by these.
OF_A_WORKER = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
TINY = (
    "--gpt-model=tiny",
    "--gpt-batch-size=2",
    "--gpt-prompt-tokens=6",
    "--gpt-new-tokens=8",
    "--gpt-rounds=2",
)
SORTING = """\
def pytest_gpt_dist_register(registry):
    registry.add_mode("sorting", "made_mode:SortingMode", "made_mode:SORTING")
"""
"""A conftest.py for sessions in which it does not matter what is measured: no model, no reference, half the time."""
QUICK = ("--gpt-device=cpu", "--gpt-rounds=2")
TABLE_OF_BENCHMARKS = re.compile(r"^-+ benchmark\b.*-$", re.MULTILINE)
"""How pytest-benchmark begins a table."""
_INI = "[pytest]\nfilterwarnings = error\n"
_CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
"""
# Three heads, three layers and a prime vocabulary divide by nothing.
_MODEL = """\
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.presets import Preset
from pytest_gpt_dist.parallel import Dimensions

SIZE = Dimensions(
    layers=3, heads=3, kv_heads=3, head_dim=8, hidden=24, mlp=50, vocabulary=307, positions=64,
    learned_positions=True, tied=True, gated=False, attention_bias=True, mlp_bias=True, norm_bias=True,
)
TINY = Preset("tiny", DecoderConfig("gpt2", SIZE, "gelu_tanh", 1e-5, None), "nobody/tiny", pretrained=False)
"""


@dataclass(frozen=True)
class InnerTest:
    """How a test of the session ended, and what it said if it did not pass."""

    outcome: str
    said: str


@dataclass(frozen=True)
class Session:
    """A session that has ended."""

    folder: Path
    status: int
    output: str

    @cached_property
    def tests(self) -> dict[str, InnerTest]:
        """The tests by name, parameters included."""
        cases = ElementTree.parse(self.folder / "junit.xml").iter("testcase")
        return {str(case.get("name")): _inner_test(case) for case in cases}

    @cached_property
    def saved(self) -> dict[str, Any]:
        """The one file that pytest-benchmark saved; NaN and infinities are no JSON."""
        (file,) = self.folder.glob(".benchmarks/*/*.json")
        saved: dict[str, Any] = json.loads(file.read_text(), parse_constant=_refuse)
        return saved

    @cached_property
    def benchmarks(self) -> dict[str, dict[str, Any]]:
        """What was saved of each test, by name."""
        return {entry["name"]: entry for entry in self.saved["benchmarks"]}

    def info(self, name: str) -> dict[str, Any]:
        """The ``extra_info`` of a test."""
        info: dict[str, Any] = self.benchmarks[name]["extra_info"]
        return info

    def row(self, name: str) -> str:
        """The line of the plugin's table for a test, and its notes, which stand below."""
        table = self.output.partition("- gpt-dist -")[2]
        found = [row for row in re.split(r"\n(?! )", table) if _names(row, name, table)]
        assert len(found) == 1, f"{name} in {table}"
        return found[0]


def _names(row: str, name: str, table: str) -> bool:
    """Whether a row is of that test; the heading has what the names of all tests share, with … for the rest."""
    shared = re.findall(r"· (\S*…\S*)$", table, re.MULTILINE)
    parts = [heading.partition("…")[::2] for heading in shared]
    short = [name.removeprefix(start).removesuffix(end) for start, end in parts]
    return row.startswith(tuple(f"{each} " for each in (name, *short)))


def run_session(folder: Path, files: dict[str, str], *args: str) -> Session:
    """Run pytest on files next to a conftest.py that registers the model ``tiny``."""
    prepare(folder, files)
    done = run_python(folder, "-m", "pytest", "--junitxml=junit.xml", *WITHOUT, *args)
    return Session(folder, done.returncode, done.stdout)


def run_python(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in a folder; whatever it prints is in ``stdout``."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env=own_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def prepare(folder: Path, files: dict[str, str]) -> None:
    """Write what a session needs."""
    for name, text in {
        "pytest.ini": _INI,
        "conftest.py": _CONFTEST,
        "tiny_model.py": _MODEL,
        **files,
    }.items():
        (folder / name).write_text(text)


def own_environment(folder: Path) -> dict[str, str]:
    """The environment of a session that is nobody's worker and leaves nothing outside its folder."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    path = [str(TESTS), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_WORKER}
    return environment | {"PYTHONPATH": os.pathsep.join(path), "TMPDIR": str(scratch), "COLUMNS": "200"}


def error_line(result: pytest.RunResult) -> str:
    """The one line that a session says which was started in a wrong way."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.startswith("ERROR: ")
    return line.removeprefix("ERROR: ")


def _inner_test(case: ElementTree.Element) -> InnerTest:
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            return InnerTest(kind, str(found.get("message") if kind == "skipped" else found.text))
    return InnerTest("passed", "")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
