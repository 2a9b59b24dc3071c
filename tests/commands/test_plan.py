"""How a model would be divided, without running it."""

from types import SimpleNamespace

import pytest

from pytest_gpt_dist.cli import main
from pytest_gpt_dist.commands import plan


def test_a_layout_that_a_model_is_too_small_for_says_so_below_its_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "--model", "gpt2-mini", "--gpus", "2,64"]) == 0
    rows = capsys.readouterr().out.splitlines()
    (noted,) = (place for place, row in enumerate(rows) if "the model has 6 layers" in row)
    assert rows[noted - 1].split()[:3] == ["64", "full_model_parallel", "dp1·pp8·tp8"]
    assert any("dp32·pp2·tp1" in row for row in rows)


@pytest.mark.parametrize(
    ("device", "about"), [("cpu", "gpt2-mini in float32"), ("cuda", "gpt2-xl in bfloat16")]
)
def test_what_is_not_given_is_as_in_a_session_on_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: str, about: str
) -> None:
    monkeypatch.setattr(plan, "find_machine", lambda _: SimpleNamespace(device=device))
    assert main(["plan", "--gpus=1"]) == 0
    assert capsys.readouterr().out.startswith(f"{about}\n")


def test_every_column_has_a_header_and_no_line_is_wider_than_the_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["plan", "--model=gpt2-xl", "--dtype=bfloat16", "--gpus=2,64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["GPUs", "strategy", "layout", "MiB", "a", "rank", "all-reduces", "sends"]
    assert max(map(len, lines)) <= 80
