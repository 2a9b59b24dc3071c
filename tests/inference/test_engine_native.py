"""The native engine and its mesh on live groups: order, timing points, caches, refusals, and broken shards."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.engines import ModelSource, Request, Sampling
from pytest_gpt_dist.model.cache import Prompts
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout, Traffic
from stopwatches import Notes

CONFIG = DecoderConfig.from_hf(
    {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 4, "n_positions": 32, "vocab_size": 101},
    "tiny",
)
SOURCE = ModelSource(CONFIG, None, 1, "float64")
REQUESTS = tuple(Request(index, tuple(range(index, index + 3 + index % 2)), 5) for index in range(8))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


def generate(
    layout: Layout, requests: tuple[Request, ...], batch_size: int, source: ModelSource = SOURCE
) -> tuple[dict[int, list[int]], list[str]]:
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    mesh = Mesh(layout, this_rank())
    engine = NativeEngine(source, mesh)
    notes = Notes()
    batches = plan(requests, layout, batch_size, "strong")[mesh.at.dp]
    tokens = engine.generate(batches, make_sampler(Sampling(), 101, mesh), notes)
    engine.close()
    return tokens, notes.events


def test_the_stopwatch_hears_each_token_on_the_last_stage(cluster: Cluster) -> None:
    layout = Layout(pp=2)
    (_, first), (_, last) = cluster.group(2).run(generate, layout, REQUESTS, 4)
    assert first == []
    assert last == ["begin 0", *["token 0", "token 2"] * 5, "begin 4", *["token 4", "token 6"] * 5]


def test_microbatches_of_unlike_length_end_by_themselves(cluster: Cluster) -> None:
    lengths = (7, 1, 3, 9, 2, 4)
    requests = tuple(replace(REQUESTS[index], new_tokens=count) for index, count in enumerate(lengths))
    layout = Layout(pp=3)
    *_, (tokens, events) = cluster.group(3).run(generate, layout, requests, 6)
    ((expected, _),) = cluster.group(1).run(generate, Layout(), requests, 6)
    assert tokens == expected
    assert {index: len(made) for index, made in tokens.items()} == dict(enumerate(lengths))
    assert [events.count(f"token {first}") for first in (0, 2, 4)] == [7, 9, 4]


def test_more_microbatches_than_requests(cluster: Cluster) -> None:
    *_, (tokens, _) = cluster.group(3).run(generate, Layout(pp=3), REQUESTS[:2], 6)
    ((expected, _),) = cluster.group(1).run(generate, Layout(), REQUESTS[:2], 6)
    assert tokens == expected


def test_a_replica_without_requests_makes_nothing(cluster: Cluster) -> None:
    (one, _), (none, events) = cluster.group(2).run(generate, Layout(dp=2), REQUESTS[:1], 2)
    assert list(one) == [0]
    assert none == {}
    assert events == []


def repeat(layout: Layout) -> list[bool]:
    """Generate in rounds whose shapes grow and shrink; say whether each round's tokens are those of a new engine."""
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    mesh = Mesh(layout, this_rank())
    engine = NativeEngine(SOURCE, mesh)
    same = []
    for requests, batch_size in (
        (REQUESTS, 4),
        (REQUESTS, 4),
        (REQUESTS[:3], 8),
        (REQUESTS, 8),
        (REQUESTS, 2),
    ):
        longer = tuple(replace(request, new_tokens=request.new_tokens + batch_size) for request in requests)
        batches = plan(longer, layout, batch_size, "strong")[mesh.at.dp]
        new = NativeEngine(SOURCE, mesh)
        sampler = make_sampler(Sampling(), 101, mesh)
        same.append(engine.generate(batches, sampler) == new.generate(batches, sampler))
    return same


def test_a_used_cache_leaves_no_trace(cluster: Cluster) -> None:
    assert cluster.group(1).run(repeat, Layout()) == [[True] * 5]


def refuse(layout: Layout, what: str) -> str:
    try:
        if what == "context":
            generate(layout, (Request(0, (1,) * 28, 5),), 1)
        elif what == "vocabulary":
            generate(layout, (Request(0, (1, 101), 5),), 1)
        elif what == "dtype":
            generate(layout, REQUESTS, 1, replace(SOURCE, dtype="int8"))
        elif what == "stages":
            generate(layout, REQUESTS, 1, replace(SOURCE, config=shallow()))
    except UsageError as error:
        return str(error)
    return "accepted"


def shallow() -> DecoderConfig:
    return replace(CONFIG, dimensions=replace(CONFIG.dimensions, layers=1))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("context", "request 0: 28 prompt tokens and 5 new ones are more than the model's context of 32"),
        ("vocabulary", "request 0: its prompt has tokens outside the vocabulary of 101"),
        ("dtype", "dtype 'int8' is not supported; these are: float64, float32, bfloat16, float16"),
        ("stages", "pipeline parallel 2: the model has 1 layers, and each stage needs one"),
    ],
)
def test_what_cannot_run_is_one_line_on_every_rank(cluster: Cluster, what: str, message: str) -> None:
    assert cluster.group(2).run(refuse, Layout(pp=2), what) == [message] * 2


def generate_with(kernel: str, dtype: str) -> dict[int, list[int]]:
    from pytest_gpt_dist.model.attention import attention_kernel  # noqa: PLC0415

    with attention_kernel(kernel):
        return generate(Layout(), REQUESTS, 4, replace(SOURCE, dtype=dtype))[0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_kernel_of_attention_makes_the_same_tokens(cluster: Cluster, dtype: str) -> None:
    group = cluster.group(1)
    flash, math, chosen = (group.run(generate_with, kernel, dtype) for kernel in ("flash", "math", "auto"))
    assert flash == math == chosen


def configuration(layout: Layout, dtype: str) -> object:
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    engine = NativeEngine(replace(SOURCE, dtype=dtype), Mesh(layout, this_rank()))
    return engine.configuration["head_copied"]


@pytest.mark.parametrize(
    ("layout", "dtype", "copied"),
    [
        (Layout(tp=2), "float32", [True, True]),
        # The two stages hold the table once each, and a dtype without a packed layout has nothing to copy.
        (Layout(pp=2), "float32", [False, False]),
        (Layout(tp=2), "float64", [False, False]),
    ],
)
def test_a_tied_head_is_copied_where_a_packed_one_is_read_faster(
    cluster: Cluster, layout: Layout, dtype: str, copied: list[bool]
) -> None:
    assert cluster.group(2).run(configuration, layout, dtype) == copied


def load_reports() -> tuple[list[tuple[int, int]], int]:
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    reports: list[tuple[int, int]] = []
    engine = NativeEngine(
        SOURCE, Mesh(Layout(), this_rank()), lambda done, total: reports.append((done, total))
    )
    return reports, engine.parameter_bytes


def test_loading_reports_how_far_it_is(cluster: Cluster) -> None:
    ((reports, held),) = cluster.group(1).run(load_reports)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1] == (held, held)


def communicate(
    layout: Layout, staged: bool
) -> tuple[list[float], list[float], list[float], list[int], Traffic]:
    import torch  # noqa: PLC0415

    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    me = this_rank()
    mesh = Mesh(layout, replace(me, staged=staged))
    total = torch.tensor([float(me.rank)])
    mesh.all_reduce(total)
    gathered = mesh.all_gather(torch.tensor([float(me.rank), -1.0]))
    hidden = torch.empty(0)
    if not mesh.first:
        hidden = mesh.expect_previous((2,), torch.float32).take()
    if not mesh.last:
        mesh.send_next(torch.tensor([float(me.rank), 0.5]))
    tokens = torch.empty(0, dtype=torch.int64)
    if layout.pp > 1 and mesh.last:
        mesh.send_tokens(torch.tensor([me.rank]))
    if layout.pp > 1 and mesh.first:
        tokens = mesh.expect_tokens((1,)).take()
    mesh.settle()
    return total.tolist(), gathered[:, 0].tolist(), hidden.tolist(), tokens.tolist(), mesh.traffic


@pytest.mark.parametrize("staged", [False, True])
def test_ranks_communicate_with_their_neighbours_alone(cluster: Cluster, staged: bool) -> None:
    results = cluster.group(4).run(communicate, Layout(pp=2, tp=2), staged)
    count = Traffic(all_reduce=1, all_gather=1, send=1, recv=1)
    assert results == [
        ([1.0], [0.0, 1.0], [], [2], count),
        ([1.0], [0.0, 1.0], [], [3], count),
        ([5.0], [2.0, 3.0], [0.0, 0.5], [], count),
        ([5.0], [2.0, 3.0], [1.0, 0.5], [], count),
    ]


def test_replicas_do_not_communicate(cluster: Cluster) -> None:
    results = cluster.group(2).run(communicate, Layout(dp=2), False)
    assert results == [([float(rank)], [float(rank)], [], [], Traffic()) for rank in range(2)]


def communicators() -> bool:
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    mesh, again = Mesh(Layout(pp=2), this_rank()), Mesh(Layout(pp=2), this_rank())
    assert mesh._hidden is again._hidden
    return mesh._hidden is not mesh._tokens


def test_the_two_directions_of_a_pipeline_have_communicators_of_their_own(cluster: Cluster) -> None:
    """Only NCCL comes to a halt without it, so it is looked up here."""
    assert cluster.group(2).run(communicators) == [True, True]


def wrong_world() -> str:
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    try:
        Mesh(Layout(tp=3), this_rank())
    except ValueError as error:
        return str(error)
    return "accepted"


def test_a_layout_of_another_world_size_is_refused(cluster: Cluster) -> None:
    assert cluster.group(2).run(wrong_world) == ["dp1·pp1·tp3 has 3 ranks, this group has 2"] * 2


def damage(kind: str) -> tuple[bool, bool, bool]:
    """Spoil an engine on one rank; return whether tokens, bytes and traffic are still those of a sound one."""
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    layout = Layout(tp=2)
    batches = plan(REQUESTS, layout, 8, "strong")[0]

    def run(engine: Any, mesh: Mesh) -> tuple[dict[int, list[int]], int, Traffic]:
        before = mesh.traffic
        tokens = engine.generate(batches, make_sampler(Sampling(), 101, mesh))
        return tokens, engine.parameter_bytes, mesh.traffic - before

    mesh = Mesh(layout, this_rank())
    sound = run(NativeEngine(SOURCE, mesh), mesh)
    if kind == "replicated":
        # A rank of a group of two that loads as if it were alone.
        alone = Mesh(Layout(), replace(this_rank(), rank=0, world_size=1))
        spoiled = run(NativeEngine(SOURCE, alone), alone)
    else:
        engine = NativeEngine(SOURCE, mesh)
        if mesh.at.tp == 1:
            engine._stage.parameters["layers.2.down.weight"].zero_()
        spoiled = run(engine, mesh)
    same = [left == right for left, right in zip(sound, spoiled, strict=True)]
    return same[0], same[1], same[2]


def test_a_broken_shard_changes_the_tokens_on_every_rank(cluster: Cluster) -> None:
    assert cluster.group(2).run(damage, "broken") == [(False, True, True)] * 2


def test_replicating_instead_of_sharding_shows_in_bytes_and_traffic(cluster: Cluster) -> None:
    assert cluster.group(2).run(damage, "replicated") == [(True, False, False)] * 2


def test_a_finished_row_stays_within_the_context_while_others_go_on() -> None:
    prompts = Prompts([60, 2], 64, torch.device("cpu"))
    columns = prompts.window(39).columns
    assert columns is not None
    assert columns.tolist() == [63, 40]
