"""Decode steps with fixed kernels, as CUDA graphs hold them: the same logits as steps that follow the tokens."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.engines import ModelSource, Request, Sampling
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout

GPT2 = DecoderConfig.from_hf(
    {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 4, "n_positions": 20, "vocab_size": 101},
    "tiny",
)
LLAMA = DecoderConfig.from_hf(
    {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 24,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 3,
        "max_position_embeddings": 64,
        "vocab_size": 101,
    },
    "tiny",
)
RAGGED = tuple(Request(index, tuple(range(index, index + 2 + 3 * (index % 3))), 6) for index in range(7))
# The longest prompt ends at the context's end while a shorter one still wants tokens.
AT_THE_END = (Request(0, tuple(range(17)), 3), Request(1, (5, 6), 9))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


def largest_difference(
    config: DecoderConfig, layout: Layout, requests: tuple[Request, ...], batch_size: int
) -> tuple[bool, float | None]:
    """Whether fixed steps give the tokens of the others, twice, and how far their logits are apart."""
    from pytest_gpt_dist.inference.engines.decode_step import FixedStep  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.native import EagerNativeEngine, _Slot  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.protocol import Microbatch, Sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415
    from pytest_gpt_dist.model.decoder import run_layer  # noqa: PLC0415

    class Fixed(EagerNativeEngine):
        def _slot(self, rows: int, columns: int) -> _Slot:
            cache = self._stage.allocate_cache(rows, columns + 3)
            return _Slot(cache, FixedStep(self._stage, self._mesh, cache, rows, run_layer))

    class Kept:
        def __init__(self, sampler: Sampler) -> None:
            self.sampler = sampler
            self.logits: list[torch.Tensor] = []

        def __call__(self, microbatch: Microbatch, step: int, logits: torch.Tensor) -> torch.Tensor:
            self.logits.append(logits.clone())
            return self.sampler(microbatch, step, logits)

    mesh = Mesh(layout, this_rank())
    source = ModelSource(config, None, 1, "float64")
    batches = plan(requests, layout, batch_size, "strong")[mesh.at.dp]
    runs = []
    for engine in (EagerNativeEngine(source, mesh), Fixed(source, mesh)):
        for _ in range(2):
            kept = Kept(make_sampler(Sampling(), 101, mesh))
            runs.append((engine.generate(batches, kept), kept.logits))
    expected_tokens, expected = runs[0]
    same = all(tokens == expected_tokens for tokens, _ in runs)
    differences = [
        float((logits - other).abs().max())
        for _, made in runs[1:]
        for logits, other in zip(made, expected, strict=True)
        if logits.numel()
    ]
    return same, max(differences, default=None)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
@pytest.mark.parametrize("layout", [Layout(), Layout(tp=2), Layout(pp=2)], ids=str)
@pytest.mark.parametrize(
    ("requests", "batch_size"),
    [(RAGGED, 3), (tuple(replace(each, prompt=(1, 2, 3)) for each in RAGGED), 4)],
    ids=["ragged", "even"],
)
def test_fixed_steps_compute_the_same(
    cluster: Cluster, config: DecoderConfig, layout: Layout, requests: tuple[Request, ...], batch_size: int
) -> None:
    found = cluster.group(layout.world_size).run(largest_difference, config, layout, requests, batch_size)
    assert [same for same, _ in found] == [True] * layout.world_size
    differences = [difference for _, difference in found if difference is not None]
    assert len(differences) == layout.dp * layout.tp  # of the ranks that have logits
    assert max(differences) < 1e-12


def test_a_row_that_is_done_stays_within_the_context(cluster: Cluster) -> None:
    ((same, difference),) = cluster.group(1).run(largest_difference, GPT2, Layout(), AT_THE_END, 2)
    assert same
    assert difference < 1e-12


def traced_layers(config: DecoderConfig) -> tuple[bool, int]:
    """Whether traced layers give the same logits, and how often they were traced."""
    from pytest_gpt_dist.inference.engines.decode_step import FixedStep  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.native import EagerNativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415
    from pytest_gpt_dist.model.decoder import run_layer  # noqa: PLC0415

    engine = EagerNativeEngine(ModelSource(config, None, 1, "float64"), Mesh(Layout(), this_rank()))
    stage, mesh = engine._stage, engine._mesh
    graphs = []

    def note(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    made = []
    for run in (run_layer, torch.compile(run_layer, dynamic=False, fullgraph=True, backend=note)):
        with torch.inference_mode():
            step = FixedStep(stage, mesh, stage.allocate_cache(2, 16), 2, run)
            step.begin(torch.tensor([0, 1]))
            made.append(torch.stack([step(torch.tensor([[token], [token + 1]])) for token in range(5)]))
    return torch.equal(*made), len(graphs)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_layers_are_traced_once_for_all(cluster: Cluster, config: DecoderConfig) -> None:
    assert cluster.group(1).run(traced_layers, config) == [(True, 1)]
