"""One cluster for the trainings of this folder: starting a server is what costs."""

from collections.abc import Iterator

import pytest

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.training.mode import TrainingMode
from trainings import Trainings


@pytest.fixture(scope="session")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """Runs trainings on ranks that all tests share."""
    with Cluster(ClusterConfig("cpu", pin_cpus=False, preload=TrainingMode.preload)) as cluster:
        yield Trainings(cluster, tmp_path_factory.mktemp("references"))
