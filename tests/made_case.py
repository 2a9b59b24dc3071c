"""A case that no rank ever runs, for what is decided about cases."""

from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.engines.protocol import ModelSource, Request
from pytest_gpt_dist.inference.workload import Workload
from pytest_gpt_dist.model.presets import GPT2_MINI
from pytest_gpt_dist.parallel import Layout

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
