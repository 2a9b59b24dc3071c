"""Two sessions on one machine: cores are dealt, and who waits for devices says so."""

from pathlib import Path

import pytest

from plugin.sessions import QUICK, SORTING, Session, own_environment, run_session
from pytest_gpt_dist.host.cores import own_cores
from pytest_gpt_dist.host.leases import lease

CASES = """\
def test_sorted(gpt_dist):
    gpt_dist.measure("sorting", gpus=1)

def test_cores(gpt_process_group):
    import os
    assert gpt_process_group(1).run(os.sched_getaffinity, 0) == [{CORES}]
"""
CORES = own_cores().numbers
NAMES = [f"core-{number}" for number in CORES]


def beside(folder: Path, taken: int, *options: str) -> Session:
    """A session beside another one that has so many cores."""
    locks = Path(own_environment(folder)["TMPDIR"]) / "gpt-dist-devices"
    files = {
        "conftest.py": SORTING,
        "test_sorted.py": CASES.replace("{CORES}", f"{{{CORES[taken % len(CORES)]}}}"),
    }
    with lease(NAMES, taken, 0, print, locks):
        return run_session(folder, files, *QUICK, *options)


@pytest.mark.skipif(len(CORES) < 2, reason="one core cannot be divided")
def test_a_session_pins_its_ranks_to_cores_that_no_other_has(tmp_path: Path) -> None:
    session = beside(tmp_path, 1)
    assert {test.outcome for test in session.tests.values()} == {"passed"}, session.output
    assert "waiting for" not in session.output


def test_without_free_devices_a_case_fails_in_a_line_after_the_wait(tmp_path: Path) -> None:
    session = beside(tmp_path, len(CORES), "--gpt-wait=0.3", "-k", "sorted")
    assert session.tests["test_sorted"].said.startswith("other sessions use the devices: 1 of core-")
    assert "gpt-dist: waiting for other sessions to free 1 device of core-" in session.output
