"""How a model would be divided, without running it."""

import pytest

from pytest_gpt_dist.cli import main


def test_a_layout_that_a_model_is_too_small_for_says_so_in_its_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "--model", "gpt2-mini", "--gpus", "2,64"]) == 0
    rows = capsys.readouterr().out.splitlines()
    (impossible,) = (row for row in rows if "the model has 6 layers" in row)
    assert impossible.split()[:3] == ["64", "full_model_parallel", "dp1·pp8·tp8"]
    assert any("dp32·pp2·tp1" in row for row in rows)
