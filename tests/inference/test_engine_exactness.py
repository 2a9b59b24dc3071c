"""The native engine against transformers' own classes, in every layout."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.engines import Batch, Microbatch, ModelSource, Request, Sampling
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout, Traffic, parameter_bytes, traffic

ARCHITECTURES = ("gpt2", "llama", "qwen3")
GREEDY = Sampling()
SAMPLED = Sampling(temperature=0.8, top_p=0.9, repetition_penalty=1.3, seed=3)
# Below 1 it favours what has been seen, which no greedy continuation here can miss.
PENALISED = Sampling(repetition_penalty=0.3)

# A single replica gets two batches of two; in the first one all rows are of one length and go without a mask.
REQUESTS = tuple(
    Request(index, tuple((7 * index + 13 * place) % 1009 for place in range(length)), new_tokens)
    for index, (length, new_tokens) in enumerate([(6, 6), (6, 6), (3, 6), (11, 4), (1, 5), (5, 1)])
)


@dataclass(frozen=True)
class Reference:
    """What transformers makes of each request: greedy tokens, with and without penalty, and their logits."""

    tokens: dict[int, list[int]]
    penalised: dict[int, list[int]]
    logits: dict[int, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class RankRun:
    """What one rank made of its replica's requests in one layout."""

    greedy: dict[int, list[int]]
    sampled: dict[int, list[int]]
    penalised: dict[int, list[int]]
    first_token: int
    logits: dict[int, npt.NDArray[np.float64]]
    parameter_bytes: int
    traffic: Traffic
    passes: int
    choices: int


class Recorder:
    """Keeps this rank's logits of every choice that it passes on."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.steps: dict[int, list[npt.NDArray[np.float64]]] = {}

    def __call__(self, microbatch: Microbatch, step: int, logits: Any) -> Any:
        for request, row in zip(microbatch.requests, logits, strict=True):
            if step < request.new_tokens:
                self.steps.setdefault(request.index, []).append(row.double().numpy().copy())
        return self.sampler(microbatch, step, logits)


def refer(folder: str, dtype: str) -> Reference:
    from checkpoints import continue_greedily, continue_penalised, load_reference  # noqa: PLC0415

    model = load_reference(folder, dtype)
    made = {r.index: continue_greedily(model, r.prompt, r.new_tokens) for r in REQUESTS}
    penalty = PENALISED.repetition_penalty
    return Reference(
        {index: tokens for index, (tokens, _) in made.items()},
        {r.index: continue_penalised(model, r.prompt, r.new_tokens, penalty) for r in REQUESTS},
        {index: logits for index, (_, logits) in made.items()},
    )


def every_other_in_parts(batch: Batch) -> Batch:
    return Batch(
        tuple(
            replace(micro, parts=len(micro.requests) if number % 2 else 1)
            for number, micro in enumerate(batch.microbatches)
        )
    )


def run_layouts(source: ModelSource, layouts: list[Layout]) -> list[RankRun]:
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    vocabulary = source.config.dimensions.vocabulary
    runs = []
    for layout in layouts:
        mesh = Mesh(layout, this_rank())
        engine = NativeEngine(source, mesh)
        batches = [every_other_in_parts(batch) for batch in plan(REQUESTS, layout, 2)[mesh.at.dp]]
        recorder = Recorder(make_sampler(GREEDY, vocabulary, mesh))
        before = mesh.traffic
        greedy = engine.generate(batches, recorder)
        communicated = mesh.traffic - before
        sampled = engine.generate(batches, make_sampler(SAMPLED, vocabulary, mesh))
        penalised = engine.generate(batches, make_sampler(PENALISED, vocabulary, mesh))
        runs.append(
            RankRun(
                greedy,
                sampled,
                penalised,
                engine.vocabulary.start,
                {index: np.stack(rows) for index, rows in recorder.steps.items()},
                engine.parameter_bytes,
                communicated,
                sum(batch.passes for batch in batches),
                sum(batch.choices for batch in batches),
            )
        )
        engine.close()
    return runs


def write(folder: str, name: str, dtype: str, max_shard_size: str = "5GB") -> DecoderConfig:
    from checkpoints import CONFIGS, read_config, write_checkpoint  # noqa: PLC0415

    write_checkpoint(folder, CONFIGS[name], dtype, max_shard_size)
    return read_config(folder)


def layouts_of(world_size: int) -> list[Layout]:
    degrees = range(1, world_size + 1)
    return [Layout(d, p, t) for d in degrees for p in degrees for t in degrees if d * p * t == world_size]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelSource, Reference, RankRun]:
    """A float64 checkpoint, transformers' outcome, and ours on a single rank."""
    folder = str(tmp_path_factory.mktemp(request.param))
    alone = cluster.group(1)
    (config,) = alone.run(write, folder, request.param, "float64")
    source = ModelSource(config, folder, 0, "float64")
    (reference,) = alone.run(refer, folder, "float64")
    ((single,),) = alone.run(run_layouts, source, [Layout()])
    return source, reference, single


def whole(runs: list[RankRun], layout: Layout, index: int) -> npt.NDArray[np.float64]:
    """Put the logits of a request together from the ranks of the last stage that have made it."""
    parts = {run.first_token: run.logits[index] for run in runs if index in run.logits}
    assert len(parts) == layout.tp
    return np.concatenate([parts[start] for start in sorted(parts)], axis=1)


def merged(results: list[dict[int, list[int]]], layout: Layout) -> dict[int, list[int]]:
    """The tokens of all replicas, after a check that all tensor-parallel ranks have the same."""
    tokens: dict[int, list[int]] = {}
    for group in layout.tensor_groups:
        assert all(results[rank] == results[group[0]] for rank in group)
        if layout.coordinates(group[0]).pp == layout.pp - 1:
            assert not tokens.keys() & results[group[0]].keys()
            tokens |= results[group[0]]
        else:
            assert results[group[0]] == {}
    return tokens


@pytest.mark.parametrize(
    "layouts",
    [*(layouts_of(size) for size in (1, 2, 3, 4)), [Layout(2, 2, 2)]],
    ids=["1 rank", "2 ranks", "3 ranks", "4 ranks", "8 ranks"],
)
def test_every_layout_is_exact(
    cluster: Cluster, model: tuple[ModelSource, Reference, RankRun], layouts: list[Layout]
) -> None:
    source, reference, single = model
    by_rank = cluster.group(layouts[0].world_size).run(run_layouts, source, layouts)
    for number, layout in enumerate(layouts):
        runs = [runs[number] for runs in by_rank]
        assert merged([run.greedy for run in runs], layout) == reference.tokens, layout
        assert merged([run.sampled for run in runs], layout) == single.sampled, layout
        assert merged([run.penalised for run in runs], layout) == reference.penalised, layout
        for index, expected in reference.logits.items():
            error = np.abs(whole(runs, layout, index) - expected).max() / np.abs(expected).max()
            assert error < 1e-9, (layout, index)
        for rank, run in enumerate(runs):
            at = layout.coordinates(rank)
            size = source.config.dimensions
            assert run.parameter_bytes == parameter_bytes(size, layout, at, 8), layout.where(rank)
            assert run.traffic == traffic(size, layout, at, run.passes, run.choices), layout.where(rank)


def test_the_references_tokens_vary(model: tuple[ModelSource, Reference, RankRun]) -> None:
    _, reference, single = model
    assert all(len(set(tokens)) > 1 for tokens in reference.tokens.values() if len(tokens) > 1)
    assert len({token for tokens in reference.tokens.values() for token in tokens}) > 12
    assert single.sampled != reference.tokens
    assert reference.penalised != reference.tokens


def test_eight_tensor_parallel_ranks(cluster: Cluster, model: tuple[ModelSource, Reference, RankRun]) -> None:
    """More ranks than GPT-2's and Qwen3's heads here: three of them have none."""
    source, reference, _ = model
    layout = Layout(tp=8)
    runs = [run for (run,) in cluster.group(8).run(run_layouts, source, [layout])]
    assert merged([run.greedy for run in runs], layout) == reference.tokens


def test_an_untied_head_and_a_checkpoint_in_parts(cluster: Cluster, tmp_path: Path) -> None:
    alone = cluster.group(1)
    (config,) = alone.run(write, str(tmp_path), "gpt2-untied", "float32", "200KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    source = ModelSource(config, str(tmp_path), 0, "float64")
    (reference,) = alone.run(refer, str(tmp_path), "float64")
    for layout in (Layout(pp=2), Layout(tp=2)):
        runs = [run for (run,) in cluster.group(2).run(run_layouts, source, [layout])]
        assert merged([run.greedy for run in runs], layout) == reference.tokens


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_lower_precision_is_no_worse_than_transformers(
    cluster: Cluster, model: tuple[ModelSource, Reference, RankRun], dtype: str
) -> None:
    """Of the first token's logits alone, before a flip of a token can lead elsewhere."""
    source, exact, _ = model
    lower = replace(source, dtype=dtype)
    (theirs,) = cluster.group(1).run(refer, source.folder, dtype)
    ((alone,),) = cluster.group(1).run(run_layouts, lower, [Layout()])
    layout = Layout(pp=2, tp=2)
    divided = [run for (run,) in cluster.group(4).run(run_layouts, lower, [layout])]

    def error(first: Callable[[int], npt.NDArray[np.float64]]) -> float:
        return max(
            float(np.abs(first(index) - logits[0]).max() / np.abs(logits[0]).max())
            for index, logits in exact.logits.items()
        )

    error_of_theirs = error(lambda index: theirs.logits[index][0])
    error_alone = error(lambda index: whole([alone], Layout(), index)[0])
    error_divided = error(lambda index: whole(divided, layout, index)[0])
    assert 0 < error_alone <= 2 * error_of_theirs
    assert 0 < error_divided <= 2 * error_alone
    if dtype == "float32":
        assert error_divided < 1e-4
        assert merged([run.greedy for run in divided], layout) == exact.tokens
