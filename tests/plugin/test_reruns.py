"""Tests that are run again, as by pytest-rerunfailures: their last attempt is what is recorded, everywhere."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from plugin.sessions import QUICK, SORTING, Session, run_session

# As pytest-rerunfailures does it.
CONFTEST = f"""\
from _pytest.runner import runtestprotocol


{SORTING}

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for last in (False, True):
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        for report in failed if not last else ():
            report.outcome = "rerun"
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        if not failed:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
CASES = """\
from pathlib import Path

attempts = []


def journal():
    return len(list(Path(".gpt-dist").glob("journal/*/*.json")))


def test_again(gpt_dist):
    attempts.append("again")
    assert journal() == 0
    gpt_dist.measure("sorting", numbers=range(3 + len(attempts), 0, -1))
    assert journal() == 1
    assert len(attempts) > 1


def test_lost(gpt_dist):
    attempts.append("lost")
    assert attempts.count("lost") == 1, "never again"
    gpt_dist.measure("sorting")
    raise ValueError("wrong after all")
"""


@pytest.fixture(scope="module")
def rerun(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A test that passes at its second attempt, and one that is measured at its first attempt alone."""
    files = {"conftest.py": CONFTEST, "test_cases.py": CASES}
    folder: Path = tmp_path_factory.mktemp("rerun")
    return run_session(folder, files, *QUICK, "--benchmark-autosave", "--gpt-baseline")


def test_the_last_attempt_alone_is_saved(rerun: Session) -> None:
    assert [entry["name"] for entry in rerun.saved["benchmarks"]] == ["test_again"], rerun.output
    assert rerun.info("test_again")["numbers"] == 5


def test_the_last_attempt_alone_is_in_the_table_and_judged(rerun: Session) -> None:
    table = rerun.output.partition("- gpt-dist -")[2].partition("- gpt-dist verdicts -")[0]
    assert [line.split()[0] for line in table.splitlines() if line.startswith("test_")] == ["test_again"]
    (verdict,) = rerun.saved["gpt_dist"]["verdicts"]
    assert verdict["case"] == "test_cases.py::test_again"


def test_an_attempt_has_no_properties_of_the_one_before(rerun: Session) -> None:
    cases = ElementTree.parse(rerun.folder / "junit.xml").iter("testcase")
    *_, last = [case for case in cases if case.get("name") == "test_again"]
    (series,) = [each.get("value") for each in last.iter("property") if each.get("name") == "series"]
    assert " · lists of 5 · " in str(series)


def test_the_journal_forgets_an_attempt_when_the_next_one_begins(rerun: Session) -> None:
    """At which the inner test looks; the other one fails at its second attempt."""
    assert rerun.tests["test_again"].outcome == "passed", rerun.output
    assert "never again" in rerun.tests["test_lost"].said
