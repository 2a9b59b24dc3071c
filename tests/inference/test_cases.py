"""Cases of inference, as options and arguments ask for them."""

from pathlib import Path
from typing import Any

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference.cases import CaseBuilder
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.registry import Registry, builtin

MACHINE = Machine("cpu", (), None, "gloo", 1, False, Cores((0, 1)))


def builder(**options: Any) -> CaseBuilder:
    registry = Registry()
    builtin(registry)
    no_groups: Any = None
    return CaseBuilder(ModeContext(Options(**options), registry, MACHINE, no_groups, Path))


def test_the_one_count_of_the_options_is_used_where_no_other_is_given() -> None:
    assert builder(gpus=(2,)).case({"strategy": "tensor_data_hybrid"}).layout == Layout(tp=2)


def test_another_way_of_batching_leaves_the_options_budget_behind() -> None:
    cases = builder(batching="token-budget", token_budget=512)
    assert cases.case({}).workload.token_budget == 512
    assert cases.case({"batching": "by-length"}).workload.token_budget is None
