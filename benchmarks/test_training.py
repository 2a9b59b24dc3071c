"""The training matrix: every strategy on every device count, checked and timed; with --gpt-suite=training."""

import pytest

from pytest_gpt_dist import GptDist


@pytest.mark.gpt_dist_matrix(mode="training")
def test_train(gpt_dist: GptDist, gpus: int, strategy: str, engine: str) -> None:
    """Each case is compared with one process before it is timed."""
    result = gpt_dist.train(strategy=strategy, gpus=gpus, engine=engine)
    assert result.losses
