"""Saved sessions: wherever the storage is, whatever it is compared with, and when the disk does not take them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from plugin.sessions import QUICK, SORTING, TESTS, Session, prepare, run_python, run_session
from saved_cases import saved_case

CASES = """\
def test_short(gpt_dist):
    gpt_dist.measure("sorting", numbers=(2, 1))

def test_long(gpt_dist):
    gpt_dist.measure("sorting")

def test_of_others(benchmark):
    benchmark.pedantic(lambda: None, rounds=3)
"""
FULL_DISK = """\
import resource

UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)

def pytest_benchmark_update_json():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, UNLIMITED[1]))

def pytest_sessionfinish():
    resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED)
"""
FILES = {
    "conftest.py": SORTING + (TESTS.parent / "src/pytest_gpt_dist/templates/conftest.py").read_text(),
    "test_cases.py": CASES,
    "full_disk.py": FULL_DISK,
}
ONE_CASE = ("-k", "test_long")
OF_OTHERS = ("-m", "pytest", "test_cases.py", "-k", "test_of_others", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Compared:
    """A session that was compared with a saved one of another machine, and the folder of both."""

    session: Session
    storage: Path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session that was saved below its own folder, without ``--benchmark-save-data``."""
    folder = tmp_path_factory.mktemp("first")
    return run_session(folder, FILES, *QUICK, "--benchmark-storage=saved/runs", "--benchmark-autosave")


@pytest.fixture(scope="module", params=["committed", "restored", "outside"])
def compared(
    request: pytest.FixtureRequest, first: Session, tmp_path_factory: pytest.TempPathFactory
) -> Compared:
    """A storage in the repository, one that a cache put where it is by default, one outside of the folder."""
    folder = tmp_path_factory.mktemp("second")
    place, where = {
        "committed": (folder / "saved" / "runs", ["--benchmark-storage=saved/runs"]),
        "restored": (folder / ".benchmarks", []),
        "outside": (
            elsewhere := folder.with_name(f"{folder.name}-storage"),
            [f"--benchmark-storage={elsewhere}"],
        ),
    }[request.param]
    shutil.copytree(first.folder / "saved" / "runs", place)
    make_old(place)
    flags = (*where, "--gpt-baseline", "--benchmark-autosave", "--benchmark-compare")
    return Compared(run_session(folder, FILES, *QUICK, *ONE_CASE, *flags), place)


def make_old(storage: Path) -> None:
    """Let the saved session be of another host, and so slow that it is beaten whatever else the machine does."""
    (file,) = storage.rglob("*.json")
    saved = json.loads(file.read_text())
    saved["machine_info"]["node"] = "another"
    for benchmark in saved["benchmarks"]:
        info = benchmark["extra_info"]
        if "launches" in info:
            info["launches"] = [[20 * sample for sample in samples] for samples in info["launches"]]
    file.write_text(json.dumps(saved))


def rows(output: str, workload: str) -> list[str]:
    """The names in the table of a workload."""
    table = output.partition(f"benchmark '{workload} · ")[2]
    return [line.split()[0] for line in table.split("\n\n")[0].splitlines() if line.startswith("test_")]


def journal(folder: Path) -> list[Path]:
    return list(folder.glob(".gpt-dist/journal/*/*.json"))


def test_the_raw_samples_are_saved_unasked_of_this_packages_cases_alone(first: Session) -> None:
    assert first.status == 0, first.output
    (file,) = first.folder.glob("saved/runs/*/*.json")
    saved = {entry["name"]: entry for entry in json.loads(file.read_text())["benchmarks"]}
    for name in ("test_short", "test_long"):
        (launch,) = saved[name]["extra_info"]["launches"]
        assert saved[name]["stats"]["data"] == pytest.approx(launch)
    assert "data" not in saved["test_of_others"]["stats"]


def test_verdicts_rest_on_the_storage_wherever_it_is(compared: Compared) -> None:
    assert compared.session.status == 0, compared.session.output
    assert compared.session.output.splitlines()[-1] == "gpt-dist: 1 improved"


def test_pytest_benchmark_compares_with_another_machine_wherever_the_storage_is(compared: Compared) -> None:
    output = compared.session.output
    assert f"A run saved in {compared.storage} is of another machine (different: node)" in output
    assert "test_long (NOW)" in output
    assert "test_long (0001_" in output


def test_a_session_is_added_to_the_storage_wherever_it_is(compared: Compared) -> None:
    files = sorted(file.name[:5] for file in compared.storage.glob("*/*.json"))
    assert files == ["0001_", "0002_"]
    listed = run_python(
        compared.session.folder, "-m", "pytest_benchmark", "--storage", str(compared.storage), "list"
    )
    assert [Path(line).name[:5] for line in listed.stdout.splitlines()] == files


def test_no_table_of_pytest_benchmark_mixes_workloads(compared: Compared) -> None:
    assert rows(compared.session.output, "lists of 3") == ["test_long", "test_long"]


def test_no_table_of_pytest_benchmarks_command_mixes_workloads(first: Session, tmp_path: Path) -> None:
    """Of cases of inference, because that command hears of no mode that a conftest.py adds."""
    new_tokens = {"test_short": 4, "test_long": 8}
    storage = Path(shutil.copytree(first.folder / "saved" / "runs", tmp_path / "storage"))
    (file,) = storage.rglob("*.json")
    saved = json.loads(file.read_text())
    for benchmark in saved["benchmarks"]:
        if benchmark["name"] in new_tokens:
            benchmark["extra_info"] = dict(saved_case(new_tokens=new_tokens[benchmark["name"]]).info)
    file.write_text(json.dumps(saved))
    shutil.copy(file, file.with_name(file.name.replace("0001_", "0002_")))
    prepare(tmp_path, FILES)
    command = ("-m", "pytest_benchmark", "--storage", str(storage), "compare", "--columns=ops")
    done = run_python(tmp_path, *command)
    assert done.returncode == 0, done.stdout
    for name, tokens in new_tokens.items():
        assert rows(done.stdout, f"gpt2-mini · float32 · weak · batch 4 · 64 + {tokens} tokens") == [name] * 2


def test_benchmarks_of_others_survive_a_storage_outside_of_the_working_directory(
    first: Session, tmp_path: Path
) -> None:
    storage = Path(shutil.copytree(first.folder / "saved" / "runs", tmp_path / "storage"))
    make_old(storage)
    (tmp_path / "project").mkdir()
    prepare(tmp_path / "project", FILES)
    done = run_python(
        tmp_path / "project", *OF_OTHERS, f"--benchmark-storage=file://{storage}", "--benchmark-compare"
    )
    assert done.returncode == 0, done.stdout
    assert "(different: node)" in done.stdout


def test_where_pytest_benchmark_can_warn_itself_its_own_words_stay(first: Session, tmp_path: Path) -> None:
    make_old(Path(shutil.copytree(first.folder / "saved" / "runs", tmp_path / ".benchmarks")))
    prepare(tmp_path, FILES | {"pytest.ini": "[pytest]\n"})
    done = run_python(tmp_path, *OF_OTHERS, "--benchmark-compare")
    assert "Benchmark machine_info is different. Current: {" in done.stdout
    assert "(different: node)" not in done.stdout


def test_somebodys_own_check_of_the_machine_may_still_end_the_session(first: Session, tmp_path: Path) -> None:
    shutil.copytree(first.folder / "saved" / "runs", tmp_path / ".benchmarks")
    check = "def pytest_benchmark_compare_machine_info():\n    raise ValueError('not on this machine')\n"
    prepare(tmp_path, FILES | {"conftest.py": check})
    done = run_python(tmp_path, *OF_OTHERS, "--benchmark-compare")
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR
    assert "not on this machine" in done.stdout


@pytest.fixture(scope="module")
def unsaved(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session whose storage is below a file, and whose ``--benchmark-json`` is a full device."""
    folder = tmp_path_factory.mktemp("unsaved")
    (folder / "file").touch()
    where = ("--benchmark-storage=file/storage", "--benchmark-autosave", "--benchmark-json=/dev/full")
    return run_session(folder, FILES, *QUICK, *ONE_CASE, *where)


def test_a_file_that_cannot_be_written_fails_the_session_in_one_line(unsaved: Session) -> None:
    assert unsaved.status == pytest.ExitCode.TESTS_FAILED
    (line,) = (line for line in unsaved.output.splitlines() if "cannot be written" in line)
    assert "--benchmark-json=/dev/full cannot be written: No space left on device" in line
    assert f"{unsaved.folder / 'file' / 'storage'} cannot be written: Not a directory" in line
    assert "Traceback" not in unsaved.output


def test_what_was_measured_is_shown_even_if_it_cannot_be_saved(unsaved: Session) -> None:
    assert "dp1·pp1·tp1" in unsaved.row("test_long")
    assert "benchmark 'lists" in unsaved.output
    assert unsaved.tests["test_long"].outcome == "passed"


def test_a_full_disk_leaves_no_half_file_and_what_was_measured_is_resumed(unsaved: Session) -> None:
    flags = (*QUICK, *ONE_CASE, "--benchmark-autosave", "--gpt-resume")
    full = run_session(unsaved.folder, FILES, *flags, "-p", "full_disk")
    assert full.status == pytest.ExitCode.TESTS_FAILED
    assert f"{unsaved.folder / '.benchmarks'} cannot be written: File too large" in full.output
    assert list(unsaved.folder.glob(".benchmarks/*/*")) == []
    assert len(journal(unsaved.folder)) == 1
    saved = run_session(unsaved.folder, FILES, *flags)
    assert saved.status == 0, saved.output
    assert saved.info("test_long")["resumed"]
    assert journal(unsaved.folder) == []
