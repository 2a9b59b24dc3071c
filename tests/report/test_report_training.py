"""What a report has of trainings alone."""

from dataclasses import replace

import pytest

from pytest_gpt_dist.report.charts.canvas import DARK, LIGHT, Theme
from pytest_gpt_dist.report.charts.training import training_charts
from pytest_gpt_dist.report.findings import Group, find
from pytest_gpt_dist.report.key_findings import key_findings
from pytest_gpt_dist.report.training import Contender, TrainingFigures, read_training, winners
from saved_cases import saved_case

MIB = 2**20
RANK = {"parameters": 10, "gradients": 10, "optimizer": 20, "gathered": 12, "rest": 5, "peak": 45}
INFO = {
    "memory_bytes": [RANK, RANK | {"optimizer": 22}],
    "losses": [2.0, 1.5],
    "bytes_communicated": {"all_gather": [3, 4], "all_reduce": [8, 8]},
}


def test_figures_are_by_rank_and_kind() -> None:
    found = read_training(INFO)
    assert [rank["optimizer"] for rank in found.memory_bytes] == [20, 22]
    assert found.largest_bytes == 10 + 10 + 22 + 5
    assert (found.losses, found.sent_bytes) == ((2.0, 1.5), 12)


def test_what_is_not_known_of_a_rank_makes_no_memory() -> None:
    assert read_training(INFO | {"memory_bytes": [RANK, RANK | {"rest": None}]}).largest_bytes is None


@pytest.mark.parametrize(
    ("contenders", "said"),
    [
        ([("a", 100, 50), ("b", 90, 60)], ["a is fastest and takes least memory, 50 MiB"]),
        (
            [("ddp", 100, 80), ("zero3", 60, 40)],
            [
                "ddp is fastest, 100 tokens/s with 80 MiB; zero3 takes least memory, 40 MiB, and loses 40% to it",
                "by both, zero3 wins: 2.0 times less memory outweighs the time",
            ],
        ),
        (
            [("ddp", 100, 80), ("zero2", 96, 50), ("zero3", 60, 40)],
            [
                "ddp is fastest, 100 tokens/s with 80 MiB; zero3 takes least memory, 40 MiB, and loses 40% to it",
                "by both, zero2 wins: 50 MiB, and 4% behind the fastest",
            ],
        ),
        ([("a", 100, 50)], []),
    ],
)
def test_who_wins_by_time_by_memory_and_by_both(
    contenders: list[tuple[str, float, float]], said: list[str]
) -> None:
    assert (
        list(winners([Contender(name, speed, size * MIB) for name, speed, size in contenders], "tokens/s"))
        == said
    )


def trainings() -> Group:
    """Two cases on two devices, as if they were trainings."""
    (group,) = find([saved_case(2, speed=170.0), saved_case(2, "tensor_data_hybrid", speed=60.0)]).groups
    sizes = (80.0 * MIB, 20.0 * MIB)
    cases = [
        replace(
            case,
            training=TrainingFigures(
                ({"parameters": size, "gradients": 1.0, "optimizer": 2.0, "rest": 3.0},) * 2, (2.0, 1.0), 0.0
            ),
        )
        for case, size in zip(group.cases, sizes, strict=True)
    ]
    return replace(group, cases=tuple(cases))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_memory_and_losses_are_drawn(theme: Theme) -> None:
    charts = list(training_charts(trainings()))
    assert [chart.name for chart in charts] == ["memory_by_kind", "loss_curves"]
    for chart in charts:
        assert chart.draw(theme).whole.startswith(b"\x89PNG")
    assert list(training_charts(find([saved_case(2)]).groups[0])) == []


def test_the_findings_say_who_wins() -> None:
    (found,) = (each for each in key_findings(trainings()) if each.about.startswith("Time and memory"))
    assert found.about == "Time and memory on 2 devices"
    assert "takes least memory, 20 MiB" in found.text
