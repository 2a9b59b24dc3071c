"""What the README and the pages under docs/ show is what happens."""

import json
import re
import shlex
from pathlib import Path

import pytest

from plugin.sessions import TESTS, TINY, run_session
from pytest_gpt_dist.cli import build_parser
from pytest_gpt_dist.config.declaration import flag
from pytest_gpt_dist.config.pytest_options import read_options
from pytest_gpt_dist.config.sections import check_batching
from pytest_gpt_dist.config.settings import declarations
from pytest_gpt_dist.inference.result_format import INFERENCE
from pytest_gpt_dist.report.table import Row, render

ROOT = TESTS.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/[!_]*.md")), *sorted(ROOT.glob("docs/[!_]*/*.md"))]
SMALL = (*TINY, "--gpt-rounds=1", "--gpt-warmup=0", "--gpt-gpus=1", "--gpt-device=cpu")
TINY_MODEL = """\
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
"""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in that language; those of none are commands, and what they print."""
    fenced = re.findall(r"^```(.*)\n((?s:.*?))^```$", page.read_text(), re.MULTILINE)
    return [block for found, block in fenced if found == language]


def commands(program: str) -> list[str]:
    """Every command of a program in any page, without its comment."""
    lines = [
        line
        for page in PAGES
        for block in blocks(page, "")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return list(dict.fromkeys(line for line in lines if line.startswith(f"{program} ")))


def words(command: str) -> list[str]:
    return shlex.split(command, comments=True)[1:]


def examples(page: Path) -> dict[str, str]:
    """The Python of a page by file: a block that begins with a file's name is that file, the others are tests."""
    files: dict[str, str] = {}
    for block in blocks(page, "python"):
        named = re.match(r"# (\w+\.py)\n", block)
        if named is not None or "def test_" in block:
            name = named[1] if named is not None else f"test_{page.stem.replace('-', '_').lower()}.py"
            files[name] = files.get(name, "") + block
    return files


def test_the_examples_pass(tmp_path: Path) -> None:
    files = {name: text for page in PAGES for name, text in examples(page).items()}
    session = run_session(tmp_path, {"tiny_for_all.py": TINY_MODEL} | files, "-p", "tiny_for_all", *SMALL)
    shown = set(re.findall(r"def (test_\w+)", "".join(files.values())))
    assert {name.partition("[")[0] for name in session.tests} == shown
    assert {name: test.said for name, test in session.tests.items() if test.outcome != "passed"} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_python_of_a_page_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("command", commands("pytest"))
def test_a_command_of_pytest_is_one_that_it_takes(pytester: pytest.Pytester, command: str) -> None:
    options = read_options(pytester.parseconfig(*words(command)))
    assert options.counts
    options.check_comparison()
    check_batching(options.batching, options.token_budget)


@pytest.mark.parametrize("command", commands("gpt-dist"))
def test_a_command_of_gpt_dist_is_one_that_it_takes(command: str) -> None:
    build_parser().parse_args(words(command))


def test_every_target_of_make_that_is_named_exists() -> None:
    rules = (ROOT / "Makefile").read_text()
    named = {words(command)[0] for command in commands("make")}
    assert named >= {"bench", "test"}
    assert [target for target in sorted(named) if not re.search(f"^{target}:", rules, re.MULTILINE)] == []


def test_every_option_that_the_documents_name_exists() -> None:
    documents = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"--gpt-[a-z][a-z-]*", documents))
    keys = set(re.findall(r"^(gpt_[a-z_]+) =", documents, re.MULTILINE))
    assert named
    assert keys
    assert named <= {flag(name) for name, _ in declarations()}
    assert keys <= {f"gpt_{name}" for name, _ in declarations()}


def test_every_key_that_is_saved_is_documented() -> None:
    saved = {metric.name for metric in INFERENCE.metrics}
    documented = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs" / "metrics.md").read_text()))
    assert saved - documented == set()


def test_the_readme_shows_the_table_of_the_committed_results() -> None:
    saved = json.loads((ROOT / "scripts" / "results" / "inference_cpu.json").read_text())
    shown = render([Row(entry["name"], entry["extra_info"]) for entry in saved["benchmarks"]], 100)
    assert f"\n{shown}\n" in (ROOT / "README.md").read_text()


def test_the_readme_says_where_the_time_of_the_committed_results_went() -> None:
    said = " ".join((ROOT / "README.md").read_text().split())
    saved = json.loads((ROOT / "scripts" / "results" / "inference_cpu.json").read_text())
    infos = [entry["extra_info"] for entry in saved["benchmarks"]]
    lost = {(info["strategy"], info["gpus"]): info["time_lost"] for info in infos}
    tensor, pipeline = lost["tensor_data_hybrid", 2], lost["pipeline_data_hybrid", 2]
    assert f"tensor-parallel ranks spend {tensor['communication']:.0%} of their time" in said
    assert f"two stages {pipeline['bubble']:.0%} waiting for each other" in said
