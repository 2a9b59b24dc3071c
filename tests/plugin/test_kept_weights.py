"""Sessions that launch a model more than once keep its random weights, and leave nothing behind."""

from pathlib import Path

import pytest

from plugin.sessions import TINY, WITHOUT, run_session

CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("telling", "telling:Telling")
"""
ENGINE = """\
import os

from pytest_gpt_dist.inference.engines.native import NativeEngine


class Telling(NativeEngine):
    def __init__(self, source, mesh, report=None):
        def kept():
            return "none" if source.weight_cache is None else str(len(os.listdir(source.weight_cache)))

        before = kept()
        super().__init__(source, mesh, report)
        with open(LOG, "a") as log:
            log.write(f"{before} {kept()}\\n")
"""
ONE = "def test_one(gpt_dist):\n    gpt_dist.run(gpus=1, engine='telling')\n"
TWO = ONE + "\n\ndef test_two(gpt_dist):\n    gpt_dist.run(gpus=1, engine='telling', new_tokens=4)\n"
PARTS = 7


def project(log: Path, cases: str) -> dict[str, str]:
    engine = ENGINE.replace("LOG", repr(str(log)))
    return {"conftest.py": CONFTEST, "telling.py": engine, "test_cases.py": cases}


def launches(folder: Path, cases: str, *arguments: str) -> list[str]:
    """How many files each launch found and left."""
    log = folder / "launches.log"
    session = run_session(folder, project(log, cases), *WITHOUT, *TINY, *arguments)
    assert session.status == pytest.ExitCode.OK, session.output
    left = {path.name for path in (folder / "scratch").glob("gpt-dist-*")}
    assert left <= {"gpt-dist-devices"}  # locks, which other sessions may wait for, stay
    return log.read_text().splitlines()


def test_the_second_launch_adds_nothing_to_what_the_first_has_kept(tmp_path: Path) -> None:
    assert launches(tmp_path, ONE, "--gpt-launches=2") == [f"0 {PARTS}", f"{PARTS} {PARTS}"]


def test_the_second_case_finds_what_the_first_and_their_reference_have_kept(tmp_path: Path) -> None:
    """The reference's own weights are in float32, and it has loaded those of the case, too."""
    assert launches(tmp_path, TWO, "--gpt-dtype=bfloat16") == [f"{2 * PARTS} {2 * PARTS}"] * 2


def test_a_single_launch_keeps_nothing(tmp_path: Path) -> None:
    assert launches(tmp_path, ONE) == ["none none"]
