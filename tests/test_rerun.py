"""Tests that are run again within a session: the last attempt counts, once."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_gpt_dist.compare.judging import Judged, TimedCase
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.session.terminal_summary import Summary
from pytest_gpt_dist.session.verdict_gate import Gate
from saved_cases import INFO


def report(tokens_per_s: float) -> pytest.TestReport:
    info = INFO | {"tokens_per_s": tokens_per_s}
    return cast(pytest.TestReport, SimpleNamespace(when="call", nodeid="t.py::test_x", gpt_dist=info))


def test_the_gate_judges_the_last_attempt() -> None:
    judged: list[TimedCase] = []

    def judge(cases: list[TimedCase]) -> Judged:
        judged.extend(cases)
        return Judged(())

    config = cast(Any, SimpleNamespace(getoption=lambda name: "nowhere"))
    gate = Gate(config, Options())
    gate._judge = cast(Any, judge)
    for tokens_per_s in (1.0, 2.0):
        gate.pytest_runtest_logreport(report(tokens_per_s))
    _ = gate.judged
    assert [(case.name, case.info["tokens_per_s"]) for case in judged] == [("t.py::test_x", 2.0)]


def test_the_table_has_the_last_attempt() -> None:
    summary = Summary(untimed=None, know_modes=lambda: None)
    for tokens_per_s in (1.0, 2.0):
        summary.pytest_runtest_logreport(report(tokens_per_s))
    lines: list[str] = []
    config = SimpleNamespace(get_terminal_writer=lambda: None)
    reporter = SimpleNamespace(
        config=config,
        ensure_newline=lambda: None,
        section=lambda *args, **named: None,
        write_line=lambda line, **how: lines.append(line),
        isatty=False,
    )
    summary.pytest_terminal_summary(cast(Any, reporter), 0)
    (row,) = [line.split() for line in lines if line.startswith("test_x")]
    assert "2.0" in row
