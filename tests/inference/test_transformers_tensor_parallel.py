"""Models that transformers divides by its own tensor parallelism, against whole ones of the native engine."""

from collections.abc import Iterator
from dataclasses import replace
from shutil import which
from typing import Any

import pytest

from inference.test_engine_peers import REQUESTS, Run, Shape, generate
from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.engines import ModelSource
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout, parameter_bytes

# Groups of four and two query heads divide by two; a prime vocabulary and an odd MLP width do not.
DEALT: dict[str, dict[str, Any]] = {
    "llama": {"num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2},
    "qwen3": {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2},
}
TWO = Layout(tp=2)
EAGER = "transformers:EagerTransformersEngine"
EVERY_SOURCE = pytest.mark.parametrize("weights", ["checkpoint", "random"])
EVERY_MODEL = pytest.mark.parametrize("name", DEALT)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


def write(folder: str, name: str) -> DecoderConfig:
    from checkpoints import CONFIGS, read_config, write_checkpoint  # noqa: PLC0415

    write_checkpoint(folder, CONFIGS[name] | DEALT[name], "float32")
    return read_config(folder)


@pytest.fixture(scope="module")
def sources(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], ModelSource]:
    """A checkpoint of each architecture, and random weights of the same shape."""
    made = {}
    for name in DEALT:
        folder = str(tmp_path_factory.mktemp(name))
        (config,) = cluster.group(1).run(write, folder, name)
        made[name, "checkpoint"] = ModelSource(config, folder, 0, "float32")
        made[name, "random"] = ModelSource(config, None, 5, "float32")
    return made


@pytest.fixture(scope="module")
def native(cluster: Cluster, sources: dict[tuple[str, str], ModelSource]) -> dict[tuple[str, str], Run]:
    """What the native engine makes of them on one device."""
    return {
        key: cluster.group(1).run(generate, "native:NativeEngine", source)[0]
        for key, source in sources.items()
    }


@EVERY_SOURCE
@EVERY_MODEL
def test_every_rank_makes_the_tokens_of_the_whole_model(
    cluster: Cluster,
    sources: dict[tuple[str, str], ModelSource],
    native: dict[tuple[str, str], Run],
    name: str,
    weights: str,
) -> None:
    expected = native[name, weights]
    for run in cluster.group(2).run(generate, EAGER, sources[name, weights], REQUESTS, Shape(layout=TWO)):
        assert run.tokens == expected.tokens
        assert run.sampled == expected.sampled
        assert run.penalised == expected.penalised


@EVERY_SOURCE
@EVERY_MODEL
def test_a_rank_holds_its_share_and_nothing_besides(
    cluster: Cluster, sources: dict[tuple[str, str], ModelSource], name: str, weights: str
) -> None:
    source = sources[name, weights]
    runs = cluster.group(2).run(generate, EAGER, source, REQUESTS[:1], Shape(layout=TWO))
    assert [run.parameter_bytes for run in runs] == [
        parameter_bytes(source.config.dimensions, TWO, TWO.coordinates(rank), 4) for rank in range(2)
    ]


def test_replicas_divide_the_model_each_on_its_own(
    cluster: Cluster, sources: dict[tuple[str, str], ModelSource], native: dict[tuple[str, str], Run]
) -> None:
    shape = Shape(1, layout=Layout(dp=2, tp=2))
    runs = cluster.group(4).run(generate, EAGER, sources["llama", "random"], REQUESTS, shape)
    assert [run.tokens for run in runs[::2]] == [run.tokens for run in runs[1::2]]
    assert runs[0].tokens | runs[2].tokens == native["llama", "random"].tokens
    assert not set(runs[0].tokens) & set(runs[2].tokens)


def test_sixteen_bits_are_divided(cluster: Cluster, sources: dict[tuple[str, str], ModelSource]) -> None:
    source = replace(sources["qwen3", "random"], dtype="bfloat16")
    runs = cluster.group(2).run(generate, EAGER, source, REQUESTS, Shape(layout=TWO))
    assert runs[0].tokens == runs[1].tokens
    assert [run.parameter_bytes for run in runs] == [
        parameter_bytes(source.config.dimensions, TWO, TWO.coordinates(rank), 2) for rank in range(2)
    ]


@pytest.mark.skipif(which("g++") is None, reason="g++ is not installed")
def test_compiled_decode_steps_communicate_and_make_the_same_tokens(
    cluster: Cluster, sources: dict[tuple[str, str], ModelSource]
) -> None:
    config = sources["qwen3", "random"].config
    one_layer = replace(config, dimensions=replace(config.dimensions, layers=1))  # soon compiled
    source = ModelSource(one_layer, None, 5, "float32")
    (expected,) = cluster.group(1).run(generate, "native:NativeEngine", source, REQUESTS[:2])
    shape = Shape(layout=TWO)
    for run in cluster.group(2).run(generate, "transformers:TransformersEngine", source, REQUESTS[:2], shape):
        assert (run.tokens, run.sampled) == (expected.tokens, expected.sampled)
        assert (run.configuration["cache"], run.configuration["compiled"]) == ("static", True)


def load_again(source: ModelSource) -> tuple[bool, int]:
    """Whether a divided model communicates by itself, and how many process groups a second one adds."""
    from torch.distributed import distributed_c10d  # noqa: PLC0415

    from pytest_gpt_dist.inference.engines.transformers import EagerTransformersEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    mesh = Mesh(Layout(tp=this_rank().world_size), this_rank())
    before = len(distributed_c10d._world.pg_map)
    engine = EagerTransformersEngine(source, mesh)
    alone = engine.communicates_itself
    engine.close()
    return alone, len(distributed_c10d._world.pg_map) - before


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_divided_model_communicates_by_itself_over_the_groups_that_there_are(
    cluster: Cluster, sources: dict[tuple[str, str], ModelSource], ranks: int
) -> None:
    found = cluster.group(ranks).run(load_again, sources["llama", "random"])
    assert found == [(ranks > 1, 0)] * ranks
