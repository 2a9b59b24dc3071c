"""The references of a session, whatever becomes of the ranks and files that they come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_case import CASE
from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.inference.exactness.reference_cache import Reference, ReferenceCache
from pytest_gpt_dist.inference.messages import REFERENCE_FILES, ReferenceJob, ReferenceReport
from pytest_gpt_dist.inference.weight_cache_policy import WeightCachePolicy


class OneRank:
    """Stands for a group of one rank, which dies over its first file when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[ReferenceJob] = []
        self.dies = False

    def run(self, fn: Callable[..., Any], job: ReferenceJob, **_: Any) -> list[ReferenceReport]:
        self.jobs.append(job)
        folder = Path(job.path)
        folder.mkdir()
        for name in REFERENCE_FILES:
            (folder / name).touch()
            if self.dies:
                raise RankGroupError("death", (0,), "killed by SIGXFSZ")
        return [ReferenceReport(tuple((1, 2) for _ in job.prompts), None)]


class Session:
    """References in a folder that may be another one each time it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rank = OneRank()
        self.references = ReferenceCache(
            lambda: self.folder, WeightCachePolicy(lambda: self.folder, "cpu", cases=1, paired=False)
        )

    def get(self) -> Reference:
        group: Any = self.rank
        found = self.references.get(CASE.source, CASE.requests, lambda: group, lambda rank, progress: None)
        assert found is not None
        return found


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_a_reference_is_computed_once(session: Session) -> None:
    assert session.get() == session.get()
    assert len(session.rank.jobs) == 1


def test_a_rank_that_dies_over_a_reference_costs_that_case_alone(session: Session) -> None:
    session.rank.dies = True
    for _ in range(2):
        with pytest.raises(RankGroupError, match="SIGXFSZ"):
            session.get()
        assert list(session.folder.iterdir()) == []
    session.rank.dies = False
    assert session.get().tokens == {0: (1, 2)}


@pytest.mark.parametrize("lost", REFERENCE_FILES)
def test_a_reference_that_has_lost_a_file_is_computed_anew(session: Session, lost: str) -> None:
    before = session.get()
    (Path(before.check.rows[0].path) / lost).unlink()
    after = session.get()
    assert after.check.rows[0].path != before.check.rows[0].path
    assert session.get() == after
    assert len(session.rank.jobs) == 2


def test_where_the_whole_folder_was_removed_the_next_reference_is_in_the_new_one(
    session: Session, tmp_path: Path
) -> None:
    session.folder = tmp_path / "first"
    session.folder.mkdir()
    before = session.get()
    session.folder.rename(tmp_path / "away")
    session.folder = tmp_path / "second"
    session.folder.mkdir()
    assert Path(before.check.rows[0].path).parent == tmp_path / "first"
    assert Path(session.get().check.rows[0].path).parent == tmp_path / "second"
