"""A case that no rank ever runs, for what is decided about cases."""

from pathlib import Path

from pytest_gpt_dist.cluster import OWN, RankGroup, Side
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.engines.protocol import ModelSource, Request
from pytest_gpt_dist.inference.mode import InferenceMode
from pytest_gpt_dist.inference.workload import Workload
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.model.presets import GPT2_MINI
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.registry import Registry

CASE = Case(
    strategy="pure_data_parallel",
    layout=Layout(),
    degenerate=None,
    engine="native",
    engine_path="nowhere:Engine",
    workload=Workload(model="gpt2-mini", dtype="float32", batch_size=1),
    model_name="gpt2-mini",
    source=ModelSource(GPT2_MINI.config, None, 0, "float32"),
    tokenizer="bytes",
    requests=(Request(0, (1, 2), 2),),
)


class NoGroups:
    """For modes of which nothing runs on ranks."""

    def group(self, world_size: int) -> RankGroup:
        raise AssertionError(f"a group of {world_size} was asked for")

    def renew(self, side: Side = OWN) -> None:
        raise AssertionError("new processes were asked for")


ONE_CORE = Machine("cpu", (), None, "gloo", 1, False, Cores((0,)))


def inference_mode(machine: Machine = ONE_CORE) -> InferenceMode:
    """Generation, for what it makes of launches that never ran."""
    return InferenceMode(ModeContext(Options(), Registry(), machine, NoGroups(), Path))
