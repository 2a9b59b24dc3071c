"""What gpt_dist.run and gpt_process_group make of their arguments, in a session that times nothing."""

import ast
from pathlib import Path

import pytest

from plugin.sessions import QUICK, SORTING, TABLE_OF_BENCHMARKS, TESTS, Session, run_session

INNER = TESTS / "plugin" / "inner_arguments.py"

FAILING = {
    "test_wrong[argument]": "unknown argument 'strategi': did you mean strategy",
    "test_wrong[strategy]": "unknown strategy 'tensor_data_hybird': did you mean tensor_data_hybrid",
    "test_wrong[strategy-type]": "strategy=4: expected the name of a strategy",
    "test_wrong[layout]": "layout 'dp1pp2': expected the form dp1pp2tp2, with degrees of at least 1",
    "test_wrong[engine]": "unknown engine 'nativ': did you mean native?",
    "test_wrong[engine-type]": "engine=3: expected the name of an engine",
    "test_wrong[engine-list]": "engine=['native']: expected the name of an engine",
    "test_wrong[model]": "unknown model 'gpt2-larg': did you mean gpt2-large",
    "test_wrong[model-type]": "model=7: expected a text",
    "test_wrong[gpus]": "gpus=0: expected a whole number from 1 to 4,096",
    "test_wrong[gpus-type]": "gpus='2': expected a whole number from 1 to 4,096",
    "test_wrong[batch]": "batch_size=0: expected at least 1",
    "test_wrong[dtype]": "dtype='float8': expected one of float64, float32, bfloat16, float16",
    "test_wrong[rounds]": "rounds=0: expected at least 1",
    "test_wrong[both]": "strategy='pure_data_parallel' and tensor_parallel: give either a strategy or degrees",
    "test_wrong[degrees]": "data_parallel 1 × pipeline_parallel 1 × tensor_parallel 2 = 2 devices, but gpus=4",
    "test_wrong[prompts]": "cannot read prompts from Hello.jsonl: No such file or directory",
    "test_wrong[prompts-type]": "prompts: expected a list of texts or of lists of token ids",
    "test_wrong[prompts-empty]": "prompts: expected a list of texts or of lists of token ids",
    "test_wrong[prompts-ids]": "prompts[1]: token id 400 is outside the model's vocabulary of 307",
    "test_wrong[prompts-count]": "prompts given in code are exactly the requests; leave out requests",
    "test_wrong[context]": "prompts[0]: 60 prompt tokens and 8 new ones do not fit tiny's context of 64",
    "test_wrong[batching]": "batching='by-size': expected one of in-order, by-length, token-budget",
    "test_wrong[batching-alone]": "batching by token-budget needs a budget: give --gpt-token-budget=N",
    "test_wrong[budget-alone]": "a token budget of 64 needs --gpt-batching=token-budget: in-order does not use it",
    "test_wrong[budget]": "request 0: 3 prompt tokens and 8 new ones are more than the 10 that the token budget leaves",
    "test_wrong_marker": "marker gpt_dist takes keywords only, such as gpus=4; got (4,)",
    "test_wrong_keyword_of_the_marker": "unknown argument 'gpu': did you mean gpus?",
    "test_a_function_that_cannot_travel": "",
    "test_a_group_of_nobody": "a group of 0: expected a whole number from 1 to 4,096",
}
DYING = "test_a_rank_that_dies"


def _names() -> list[str]:
    functions = [node.name for node in ast.parse(INNER.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if name.startswith("test_")]


PASSING = [name for name in _names() if name not in (*FAILING, DYING, "test_wrong")]


@pytest.mark.parametrize("name", PASSING)
def test_right_arguments(untimed: Session, name: str) -> None:
    found = {full: test for full, test in untimed.tests.items() if full.partition("[")[0] == name}
    assert found
    assert {full: test.said for full, test in found.items() if test.outcome != "passed"} == {}


@pytest.mark.parametrize(("name", "said"), FAILING.items(), ids=FAILING)
def test_a_wrong_argument_fails_the_test_in_one_line(untimed: Session, name: str, said: str) -> None:
    test = untimed.tests[name]
    assert test.outcome == "failure"
    assert len(test.said.splitlines()) == 1
    assert test.said.startswith(said)


def test_a_rank_that_dies_fails_its_test_alone_and_says_who_and_how(untimed: Session) -> None:
    test = untimed.tests[DYING]
    assert test.outcome == "failure"
    assert "rank 1" in test.said
    assert "SIGKILL" in test.said
    assert untimed.tests["test_the_next_test_has_a_new_group"].outcome == "passed"


def test_nothing_is_recorded_when_benchmarks_are_disabled(untimed: Session) -> None:
    assert not list(untimed.folder.glob(".benchmarks/*/*.json"))
    assert TABLE_OF_BENCHMARKS.search(untimed.output) is None  # test_timed_session.py sees that it finds one


def test_an_untimed_session_says_so_in_one_line(untimed: Session) -> None:
    line = "Nothing was timed (--benchmark-disable): cases ran once and were checked."
    assert untimed.output.splitlines().count(line) == 1


def test_an_untimed_case_has_its_row(untimed: Session) -> None:
    assert "yes (" in untimed.row("test_figures_are_none")
    assert "untimed" in untimed.output.partition("- gpt-dist -")[2]


def test_beside_other_workers_cases_run_once_and_untimed(tmp_path: Path) -> None:
    test = """
import pytest

@pytest.mark.parametrize("strategy", ["pure_data_parallel", "tensor_data_hybrid"])
def test_case(gpt_dist, strategy):
    result = gpt_dist.measure("sorting", gpus=2)
    assert result.throughput is None
    assert result.extra_info["matches_reference"] is True
    assert result.output == [1, 2, 3]
"""
    flags = ("-n2", "--benchmark-autosave", "--gpt-log-dir=logs")
    session = run_session(tmp_path, {"conftest.py": SORTING, "test_case.py": test}, *QUICK, *flags)
    assert session.status == pytest.ExitCode.OK, session.output
    assert [test.outcome for test in session.tests.values()] == ["passed", "passed"]
    line = "Nothing was timed (ranks of several xdist workers share the machine): cases ran once and were checked."
    assert session.output.splitlines().count(line) == 1
    assert session.row("test_case[tensor_data_hybrid]").split()[-1] == "yes"
    assert "All of them: untimed" in session.output
    assert not list(tmp_path.glob(".benchmarks/*/*.json"))
    said = [(tmp_path / "logs" / f"session-{worker}.log").read_text() for worker in ("gw0", "gw1")]
    assert "".join(said).count(" INFO group of 2 started in ") == 2
