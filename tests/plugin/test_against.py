"""`--gpt-against`: two sides measured in turns, as a user starts it."""

import json
import os
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import pytest_gpt_dist
from plugin.sessions import QUICK, SORTING, TINY, WITHOUT, Session, prepare, run_python
from pytest_gpt_dist.ab.other_side import find_against
from pytest_gpt_dist.errors import UsageError
from repositories import git

# It says where it was imported from, and how many files of weights it found and left.
ENGINE = """\
import os
import sys
from pathlib import Path
from pytest_gpt_dist.inference.engines.native import NativeEngine

class Mine(NativeEngine):
    def __init__(self, source, *args, **kwargs):
        found = len(os.listdir(source.weight_cache))
        super().__init__(source, *args, **kwargs)
        with Path(LOG).open("a") as file:
            print(__file__, sys.executable, file=file)
        with Path(LOG + ".kept").open("a") as file:
            print(found, len(os.listdir(source.weight_cache)), file=file)
"""
PARTS = 7
CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("mine", "mine:Mine")
"""
INFERRED = {
    "conftest.py": CONFTEST,
    "mine.py": ENGINE,
    "test_cases.py": "def test_case(gpt_dist):\n    gpt_dist.run(gpus=1, engine='mine')\n",
}
# Where it does not matter what is measured; its times are given, so that it never has to be confirmed.
SORTER = """\
import sys
from pathlib import Path
from made_mode import SortingMode, sort

class Mine(SortingMode):
    def job(self, case, checked, timing):
        return "mine:log_and_sort", super().job(case, checked, timing)[1]

def log_and_sort(job):
    with Path(LOG).open("a") as file:
        print(__file__, sys.executable, file=file)
    return sort(job)
"""
SORTED = {
    "conftest.py": SORTING.replace("made_mode:SortingMode", "mine:Mine"),
    "mine.py": SORTER,
    "test_cases.py": "def test_case(gpt_dist):\n    gpt_dist.measure('sorting')\n",
}
# Medians of many rounds, and a difference that noise makes on a very busy machine only; then it is confirmed.
HARDLY_EVER_SUSPECT = ("--gpt-min-effect=0.99", "--gpt-rounds=25")
ORDERS = ("ABBAABBA", *("ABBAABBA" + "BAABABBA" * 3 * size for size in (1, 2, 3, 4)))


def project(folder: Path, files: dict[str, str], log: Path, top: Path | None = None) -> None:
    """A committed project in a repository of its own, or in one at ``top``."""
    prepare(folder, {name: text.replace("LOG", repr(str(log))) for name, text in files.items()})
    git(top or folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "before")


def run(folder: Path, *arguments: str) -> Session:
    done = run_python(folder, "-m", "pytest", "--junitxml=junit.xml", *WITHOUT, *arguments)
    return Session(folder, done.returncode, done.stdout)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, list[str]]:
    """A session on a changed working tree, and the files that its engines came from, in order.

    Its rootdir is below the repository's top, and there is a space in its path.
    """
    top = tmp_path_factory.mktemp("changed")
    folder = top / "a project"
    folder.mkdir()
    log = top / "engines.log"
    project(folder, INFERRED, log, top)
    edit(folder / "mine.py", "class Mine", "# changed\nclass Mine")
    session = run(folder, *TINY, "--gpt-against=HEAD", *HARDLY_EVER_SUSPECT, "--benchmark-json=out.json")
    return session, log.read_text().splitlines()


def test_each_side_runs_its_own_files_in_the_decided_order(measured: tuple[Session, list[str]]) -> None:
    session, engines = measured
    assert session.status == 0, session.output
    own = str(session.folder / "mine.py")
    order = "".join("B" if line.startswith(own) else "A" for line in engines)
    assert order in ORDERS
    assert len(set(engines)) == 2


def test_nothing_of_the_other_side_stays_in_the_repository(measured: tuple[Session, list[str]]) -> None:
    session, _ = measured
    assert len(git(session.folder, "worktree", "list").splitlines()) == 1


def test_both_sides_are_saved(measured: tuple[Session, list[str]]) -> None:
    session, engines = measured
    saved = json.loads((session.folder / "out.json").read_text())
    (benchmark,) = saved["benchmarks"]
    info = benchmark["extra_info"]
    assert len(info["launches"]) == len(info["against"]["launches"]) == len(engines) / 2
    assert info["against"]["revision"] == git(session.folder, "rev-parse", "HEAD")
    assert info["against"]["tokens_per_s"] > 0
    assert info["against"]["tokens_sha256"] == info["tokens_sha256"]
    (verdict,) = saved["gpt_dist"]["verdicts"]
    assert verdict["mode"] == "paired"
    assert verdict["used"] in (4, 12, 24, 36, 48)


def test_two_sides_with_the_same_code_of_this_package_share_the_weights_that_they_keep(
    measured: tuple[Session, list[str]],
) -> None:
    session, engines = measured
    first, *others = (session.folder.parent / "engines.log.kept").read_text().splitlines()
    assert len(others) == len(engines) - 1
    assert first == f"0 {PARTS}"
    assert set(others) == {f"{PARTS} {PARTS}"}


def test_another_interpreter_is_the_other_side(tmp_path: Path) -> None:
    log = tmp_path / "engines.log"
    project(tmp_path, SORTED, log)
    elsewhere = tmp_path / "elsewhere"
    venv.create(elsewhere, symlinks=True)
    (site,) = elsewhere.glob("lib/python*/site-packages")
    sources = [sysconfig.get_path("purelib"), str(Path(pytest_gpt_dist.__file__).parents[1])]
    (site / "same.pth").write_text("\n".join(sources))
    python = elsewhere / "bin" / "python"
    session = run(tmp_path, *QUICK, f"--gpt-against={python}")
    assert session.status == 0, session.output
    interpreters = ["A" if line.endswith(str(python)) else "B" for line in log.read_text().splitlines()]
    assert "".join(interpreters) == ORDERS[0]
    assert "verdicts" in session.output


def refused(folder: Path, *arguments: str) -> str:
    """The one line with which pytest refuses; nothing was measured."""
    session = run(folder, *arguments)
    assert session.status == 4, session.output
    (line,) = (line for line in session.output.splitlines() if line.startswith("ERROR"))
    return line


@pytest.fixture
def package_in_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose working tree holds the package itself, as that of its own developers does."""
    project(tmp_path, SORTED, tmp_path / "engines.log")
    shutil.copytree(Path(pytest_gpt_dist.__file__).parent, tmp_path / "src" / "pytest_gpt_dist")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"), prepend=os.pathsep)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "constant", "said"),
    [
        ("cluster/about.py", "JOB_VERSION", "too new: its pytest-gpt-dist, "),
        ("cluster/wire.py", "PROTOCOL_VERSION", "too new: the other side speaks version "),
    ],
)
def test_a_revision_of_another_version_is_refused(
    package_in_tree: Path, file: str, constant: str, said: str
) -> None:
    source = package_in_tree / "src" / "pytest_gpt_dist" / file
    text = source.read_text()
    edit(source, f"{constant} = ", f"{constant} = 9000 + ")
    git(package_in_tree, "add", ".")
    git(package_in_tree, "commit", "--quiet", "--message", "other")
    source.write_text(text)
    assert said in refused(package_in_tree, "--gpt-against=HEAD")


def test_a_revision_without_the_code_under_test_is_refused(package_in_tree: Path) -> None:
    """Its ranks would run the working tree's, and both sides would be the same."""
    assert "of the working tree" in refused(package_in_tree, "--gpt-against=HEAD")


def test_a_project_whose_code_is_not_of_the_revision_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is installed as a copy: the code is found, but not among the files of the revision."""
    installed = tmp_path / "installed"
    installed.mkdir()
    repository = tmp_path / "a repository"
    repository.mkdir()
    project(repository, SORTED, tmp_path / "engines.log")
    (repository / "mine.py").rename(installed / "mine.py")
    git(repository, "commit", "--quiet", "--all", "--message", "moved")
    monkeypatch.setenv("PYTHONPATH", str(installed), prepend=os.pathsep)
    session = run(repository, *QUICK, "--gpt-against=HEAD")
    assert session.status == 1
    assert "its ranks import no file of that revision" in session.tests["test_case"].said


@pytest.mark.parametrize(
    "name", ["~nobody-of-that-name/python", "x" * 200_000, "a\0b", "a\nb", "/dev/null", ""]
)
def test_what_names_nothing_is_one_line(tmp_path: Path, name: str) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UsageError, match="neither a revision of the git repository") as error:
        find_against(name, tmp_path, tmp_path)
    assert len(str(error.value)) < 400


def test_wrong_names_and_combinations_are_one_line(tmp_path: Path) -> None:
    project(tmp_path, SORTED, tmp_path / "engines.log")
    assert "neither a revision" in refused(tmp_path, "--gpt-against=no-such-branch")
    assert "choose one" in refused(tmp_path, "--gpt-against=HEAD", "--gpt-baseline")
    assert "needs --gpt-against" in refused(tmp_path, "--gpt-null-control")
    assert "leave out one of the two" in refused(tmp_path, "--gpt-against=HEAD", "--gpt-launches=2")
    assert "needs times" in refused(tmp_path, "--gpt-against=HEAD", "--benchmark-disable")
    assert "the very environment" in refused(tmp_path, f"--gpt-against={sys.executable}")
