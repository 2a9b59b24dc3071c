"""The matrix of collectives: each of every size on several devices, checked and timed; with --gpt-suite=collectives."""

import pytest

from pytest_gpt_dist import GptDist


@pytest.mark.gpt_dist_matrix(mode="collectives")
def test_collective(gpt_dist: GptDist, gpus: int, strategy: str, engine: str) -> None:
    """Each result is compared element by element before it is timed."""
    result = gpt_dist.measure("collectives", strategy=strategy, gpus=gpus, engine=engine)
    assert result.extra_info["matches_reference"]
