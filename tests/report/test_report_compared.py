"""What a report says of a comparison: with what, before and after, and what else differs."""

from typing import Any

import pytest

from pytest_gpt_dist.report.figures import case_figures
from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.report.key_findings import key_findings
from pytest_gpt_dist.report.sections import compose
from pytest_gpt_dist.report.tables import VerdictRow, verdict_rows
from saved_cases import MADE_AT, saved_case

VERDICT: dict[str, Any] = {
    "kind": "regressed",
    "mode": "paired",
    "metric": "seconds_per_token",
    "before_s": 0.002,
    "after_s": 0.0025,
    "effect": 0.25,
    "interval": [0.2, 0.3],
    "detectable": 0.03,
    "used": 12,
    "why": "beyond noise",
}
TTFT = VERDICT | {"metric": "ttft_s", "before_s": 0.01, "after_s": 0.0125}
REVISION = "ac47f5e6f86fb4426aaa8973623e0fa7102259eb"


def launches(factor: float) -> dict[str, float]:
    return {
        "seconds_per_token": 0.002 * factor,
        "ttft_s": 0.01 * factor,
        "itl_p95_s": 0.004 * factor,
        "peak_memory_bytes": 100 * 2**20,
    }


AGAINST: dict[str, Any] = {
    "name": "HEAD",
    "revision": REVISION,
    "problem": None,
    "screening": [{"before": launches(1.0), "after": launches(1.2 + 0.01 * pair)} for pair in range(4)],
    "confirmation": [],
    "null_control": [],
    "max_logit_error": 1e-6,
    "tokens_sha256": "a",
    "marks": [],
}


def rows(*verdicts: dict[str, Any]) -> list[VerdictRow]:
    (group,) = find([saved_case(verdicts=verdicts)]).groups
    return verdict_rows(group)


def compared_with(**changes: Any) -> str:
    (group,) = find([saved_case(**changes)]).groups
    return next(said.text for said in key_findings(group) if said.about == "Compared with")


def described(**changes: Any) -> list[list[str]]:
    tables = compose(find([saved_case(**changes)]), MADE_AT).sections[0].tables
    return [
        [cell.text for cell in row]
        for table in tables
        if table.title == "What else was seen of both sides"
        for row in table.rows
    ]


def test_a_verdict_says_before_and_after_and_what_could_be_detected() -> None:
    per_token, first = rows(VERDICT, TTFT)
    assert (per_token.before, per_token.after, per_token.detectable) == ("500.0", "400.0", "+3.0%")
    assert per_token.time == "+25.0% (+20.0% to +30.0%)"
    assert (first.before, first.after) == ("10.00 ms", "12.50 ms")


def test_a_verdict_without_a_baseline_has_dashes() -> None:
    nothing = dict.fromkeys(("before_s", "effect", "interval", "detectable"))
    (row,) = rows(VERDICT | nothing | {"kind": "no-baseline", "used": 0})
    assert (row.before, row.time, row.detectable) == ("-", "-", "-")


def test_the_other_side_is_named_with_its_revision() -> None:
    assert compared_with(verdicts=(VERDICT,), against=AGAINST) == (
        "HEAD (revision ac47f5e6f86f), in 12 pairs of launches"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"used": 4}, "4 earlier sessions"),
        ({"used": 1}, "1 earlier session"),
        ({"used": 0, "kind": "no-baseline"}, "no earlier session that compares"),
    ],
)
def test_saved_sessions_are_counted(changes: dict[str, Any], said: str) -> None:
    assert compared_with(verdicts=(VERDICT | {"mode": "stored"} | changes,)) == said


def test_what_else_differs_is_described() -> None:
    (row,) = described(against=AGAINST, tokens_sha256="a")
    assert row[1].startswith("+21.5% (")
    assert row[3:] == ["100 → 100 (+0.0%)", "1.0e-06 → 1.0e-07", "same"]


@pytest.mark.parametrize(
    "damage", [{"screening": []}, {"screening": 7}, {"max_logit_error": "much"}, {"tokens_sha256": ...}]
)
def test_another_side_that_cannot_be_read_is_not_described_and_still_named(damage: dict[str, Any]) -> None:
    against = {key: value for key, value in (AGAINST | damage).items() if value is not ...}
    assert described(against=against, tokens_sha256="a") == []
    other = case_figures(saved_case(against=against)).other_side
    assert other is not None
    assert other.name.startswith("HEAD")
