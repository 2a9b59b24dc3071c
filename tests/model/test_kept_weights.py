"""Random weights that are kept: read by those that need the same ones, by nobody else, and never by halves."""

import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.engines import ModelSource
from pytest_gpt_dist.model import weight_cache
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.loading import load
from pytest_gpt_dist.model.sharding import plan
from pytest_gpt_dist.model.weight_cache import KeptWeights, code_of
from pytest_gpt_dist.model.weights import RandomWeights
from pytest_gpt_dist.parallel import Coordinates, Layout

CPU = torch.device("cpu")
_SHAPE = {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 3, "n_positions": 7, "vocab_size": 101}
TINY = DecoderConfig.from_hf(_SHAPE, "tiny")
WIDER = DecoderConfig.from_hf(_SHAPE | {"n_inner": 81}, "wider")
PARTS = 7  # two tables, three layers, weight and bias of the last norm
SOURCE = ModelSource(TINY, None, 0, "float16")
ALONE, FIRST = Layout(), Coordinates()
Parameters = dict[str, torch.Tensor]


def loaded(source: ModelSource, layout: Layout = ALONE, at: Coordinates = FIRST) -> Parameters:
    random = RandomWeights(source.config, source.seed, CPU)
    found = (
        None
        if source.weight_cache is None
        else KeptWeights(Path(source.weight_cache), random, at.dp / layout.dp)
    )
    return load(plan(source.config, layout, at), random, getattr(torch, source.dtype), CPU, kept=found)


def same(left: Parameters, right: Parameters) -> bool:
    return list(left) == list(right) and all(torch.equal(left[name], right[name]) for name in right)


def divided(parameters: Parameters) -> Parameters:
    """What tensor-parallel ranks have slices of, and models of other sizes in other shapes."""
    return {name: values for name, values in parameters.items() if name.startswith("layers.")}


def overwrite(folder: Path) -> None:
    """Put zeros where weights are kept, so that one sees who reads them."""
    for file in folder.iterdir():
        file.write_bytes(bytes(file.stat().st_size))


def test_what_one_has_made_the_next_one_reads(tmp_path: Path) -> None:
    source = replace(SOURCE, weight_cache=str(tmp_path))
    loaded(source)
    assert len(list(tmp_path.iterdir())) == PARTS
    overwrite(tmp_path)
    assert not any(parameter.any() for parameter in loaded(source).values())


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", [ALONE, Layout(tp=2), Layout(pp=2, tp=7)], ids=str)
def test_what_is_read_is_what_would_be_made(tmp_path: Path, dtype: str, layout: Layout) -> None:
    """Also where ranks have no heads at all, and so empty parameters."""
    source = replace(SOURCE, dtype=dtype)
    for _ in range(2):
        for at in map(layout.coordinates, range(layout.world_size)):
            assert same(
                loaded(replace(source, weight_cache=str(tmp_path)), layout, at), loaded(source, layout, at)
            )


@pytest.mark.parametrize(
    ("source", "at"),
    [
        (replace(SOURCE, seed=1), FIRST),
        (replace(SOURCE, dtype="bfloat16"), FIRST),
        (SOURCE, Coordinates(tp=1)),
    ],
    ids=["seed", "dtype", "slices"],
)
def test_others_of_the_same_size_are_not_read(tmp_path: Path, source: ModelSource, at: Coordinates) -> None:
    layout = Layout(tp=5)
    loaded(replace(SOURCE, weight_cache=str(tmp_path)), layout)
    overwrite(tmp_path)
    found = loaded(replace(source, weight_cache=str(tmp_path)), layout, at)
    assert same(divided(found), divided(loaded(source, layout, at)))


def test_layers_of_another_shape_are_not_read(tmp_path: Path) -> None:
    loaded(replace(SOURCE, weight_cache=str(tmp_path)))
    overwrite(tmp_path)
    source = replace(SOURCE, config=WIDER)
    assert same(divided(loaded(replace(source, weight_cache=str(tmp_path)))), divided(loaded(source)))


def test_other_code_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(SOURCE, weight_cache=str(tmp_path))
    loaded(source)
    overwrite(tmp_path)
    monkeypatch.setattr(weight_cache, "own_code", lambda: "of another revision")
    assert same(loaded(source), loaded(SOURCE))


def test_any_change_of_its_sources_makes_other_code(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "module.py"
    words = set()
    for text in ("", "x = 1\n", "x = 2\n"):
        file.write_text(text)
        words.add(code_of(tmp_path))
    words.add(code_of(Path(file.rename(tmp_path / "module.py")).parent))
    assert len(words) == 4


def test_stages_and_replicas_find_what_a_whole_model_left(tmp_path: Path) -> None:
    source = replace(SOURCE, weight_cache=str(tmp_path))
    loaded(source)
    layout = Layout(dp=2, pp=2)
    for at in map(layout.coordinates, range(layout.world_size)):
        loaded(source, layout, at)
    assert len(list(tmp_path.iterdir())) == PARTS


def test_each_replica_begins_with_a_share_of_its_own(tmp_path: Path) -> None:
    parts = [(share,) for share in plan(TINY, ALONE, FIRST)[:6]]
    random = RandomWeights(TINY, 0, CPU)
    first = [KeptWeights(tmp_path, random, begin / 3).turned(parts)[0] for begin in range(3)]
    assert first == [parts[0], parts[2], parts[4]]
    assert sorted(map(repr, KeptWeights(tmp_path, random, 1 / 3).turned(parts))) == sorted(map(repr, parts))


def test_a_file_that_was_cut_short_is_one_line(tmp_path: Path) -> None:
    source = replace(SOURCE, weight_cache=str(tmp_path))
    loaded(source)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UsageError, match="was cut short") as error:
        loaded(source)
    assert "\n" not in str(error.value)


# On ranks


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


LARGEST = 4096
"""Bytes that a file may have here: enough for the positions, too few for a layer."""


def sums(source: ModelSource, layout: Layout, *, limited: bool = False, lethal: bool = False) -> list[float]:
    """The sum of each parameter that this rank loads; it may write files of a limited length alone."""
    if limited:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
    if lethal:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    parameters = loaded(source, layout, layout.coordinates(this_rank().rank))
    return [parameter.double().sum().item() for parameter in parameters.values()]


def limited_sums(source: ModelSource, lethal: bool) -> list[float]:
    return sums(source, ALONE, limited=True, lethal=lethal)


def test_replicas_that_load_at_once_have_the_same_weights(cluster: Cluster, tmp_path: Path) -> None:
    group = cluster.group(2)
    expected = group.run(sums, SOURCE, Layout(dp=2))
    assert group.run(sums, replace(SOURCE, weight_cache=str(tmp_path)), Layout(dp=2)) == expected
    assert len(list(tmp_path.iterdir())) == PARTS


def test_a_rank_that_finds_no_room_goes_on_without_keeping(cluster: Cluster, tmp_path: Path) -> None:
    (expected,) = cluster.group(1).run(sums, SOURCE, ALONE)
    (found,) = cluster.group(1).run(limited_sums, replace(SOURCE, weight_cache=str(tmp_path)), False)
    assert found == expected
    assert 0 < len(list(tmp_path.iterdir())) < PARTS
    assert all(file.stat().st_size <= LARGEST and not file.suffix for file in tmp_path.iterdir())


def test_what_a_killed_rank_left_half_written_is_not_read(cluster: Cluster, tmp_path: Path) -> None:
    source = replace(SOURCE, weight_cache=str(tmp_path))
    with pytest.raises(RankGroupError, match="SIGXFSZ"):
        cluster.group(1).run(limited_sums, source, True)
    assert [file.stat().st_size for file in tmp_path.iterdir() if file.suffix] == [LARGEST]
    assert same(loaded(source), loaded(SOURCE))
