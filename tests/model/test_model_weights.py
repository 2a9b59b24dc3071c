"""Random values that never change, and checkpoints of which no more than a rank's share is ever in memory."""

import errno
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.device import release_memory
from pytest_gpt_dist.model import presets
from pytest_gpt_dist.model.checkpoint import Checkpoint
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.hashing import Rectangle, hash_on_device, hash_on_host
from pytest_gpt_dist.model.loading import load
from pytest_gpt_dist.model.safetensors_header import read_header
from pytest_gpt_dist.model.sharding import plan
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.model.weights import CheckpointWeights, RandomWeights
from pytest_gpt_dist.parallel import Coordinates, Layout, Span, parameter_bytes

CPU = torch.device("cpu")
TINY = DecoderConfig.from_hf(
    {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 2, "n_positions": 7, "vocab_size": 101},
    "tiny",
)


def random_weights(config: DecoderConfig = TINY, seed: int = 0) -> RandomWeights:
    return RandomWeights(config, seed, CPU)


def whole_tensor(
    weights: RandomWeights | CheckpointWeights, config: DecoderConfig, name: str
) -> torch.Tensor:
    shape = checkpoint_tensors(config)[name].shape
    return weights.read(name, Span(0, shape[0]), Span(0, shape[1]) if len(shape) == 2 else None)


PINNED_TABLE = ["0x1.9663140000000p-2", "-0x1.682ae80000000p-1", "0x1.31e4920000000p-1"]
PINNED_NORM = ["0x1.2564e00000000p+0", "0x1.173ff60000000p+0", "0x1.00d9e60000000p+0"]


def test_values_are_these_for_ever() -> None:
    weights = random_weights()
    table = weights.read("transformer.wte.weight", Span(100, 101), Span(17, 20))
    norm = weights.read("transformer.h.1.ln_2.weight", Span(0, 3), None)
    assert [value.hex() for value in table[0].tolist()] == PINNED_TABLE
    assert [value.hex() for value in norm.tolist()] == PINNED_NORM


@given(st.data())
def test_a_slice_has_the_values_of_the_whole(data: st.DataObject) -> None:
    weights = random_weights()
    name, spec = data.draw(st.sampled_from(sorted(checkpoint_tensors(TINY).items())))
    spans = []
    for size in spec.shape:
        start = data.draw(st.integers(0, size - 1))
        spans.append(Span(start, data.draw(st.integers(start + 1, size))))
    part = weights.read(name, spans[0], spans[1] if len(spans) == 2 else None)
    assert torch.equal(part, whole_tensor(weights, TINY, name)[tuple(span.slice for span in spans)])


@pytest.mark.parametrize("seed", [1, -1, 2**40])
def test_another_seed_gives_other_values(seed: int) -> None:
    name = "transformer.wte.weight"
    same = whole_tensor(random_weights(seed=seed), TINY, name) == whole_tensor(random_weights(), TINY, name)
    assert not same.any()


def test_values_have_the_spread_that_was_asked_for() -> None:
    config = presets.GPT2_MINI.config
    for name in (
        "transformer.wte.weight",
        "transformer.h.3.mlp.c_fc.weight",
        "transformer.h.3.mlp.c_proj.weight",
    ):
        spec = checkpoint_tensors(config)[name]
        values = whole_tensor(random_weights(config), config, name)
        assert values.mean().item() == pytest.approx(0, abs=spec.std / 100)
        assert values.std().item() == pytest.approx(spec.std, rel=0.01)
        neighbours = torch.corrcoef(torch.stack((values[:, :-1].flatten(), values[:, 1:].flatten())))[0, 1]
        assert abs(neighbours) < 0.01


def test_values_do_not_repeat_beyond_32_bits_of_index() -> None:
    width, rows = 1 << 16, 1 << 17
    wide = DecoderConfig.from_hf(
        {"model_type": "gpt2", "n_embd": width, "n_head": 1, "n_layer": 1, "vocab_size": rows}, "wide"
    )
    weights, name, some = random_weights(wide), "transformer.wte.weight", Span(0, 64)
    first = weights.read(name, Span(5, 6), some)
    again = weights.read(name, Span(5 + (1 << 16), 6 + (1 << 16)), some)
    assert not (first == again).any()


@given(
    row=st.integers(0, 2**33),
    column=st.integers(0, 2**20),
    size=st.tuples(st.integers(1, 4), st.integers(1, 9)),
    keys=st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 2),
    large=st.booleans(),
)
def test_host_and_device_hash_alike(
    row: int, column: int, size: tuple[int, int], keys: tuple[int, int], large: bool
) -> None:
    rows, columns = Span(row, row + size[0]), Span(column, column + size[1])
    rectangle = Rectangle(rows, columns, 2**20 + 9, large)
    on_device = hash_on_device(rectangle, keys, torch.device("cpu"))
    assert torch.equal(hash_on_host(rectangle, keys), on_device)


def test_every_dtype_is_the_rounded_float32_value() -> None:
    shares = plan(TINY, Layout(tp=2), Coordinates(tp=1))
    exact = load(shares, random_weights(), torch.float32, CPU)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        for name, parameter in load(shares, random_weights(), dtype, CPU).items():
            assert torch.equal(parameter, exact[name].to(dtype))


def test_the_size_of_a_block_changes_nothing() -> None:
    shares = plan(TINY, Layout(tp=3), Coordinates(tp=1))
    weights = random_weights()
    exact = load(shares, weights, torch.float32, CPU)
    weights.block = 37
    assert all(
        torch.equal(exact[name], parameter)
        for name, parameter in load(shares, weights, torch.float32, CPU).items()
    )


ARCHITECTURES: list[dict[str, Any]] = [
    {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 9, "n_inner": 33, "vocab_size": 101},
    {
        "model_type": "llama",
        "hidden_size": 20,
        "num_attention_heads": 10,
        "num_key_value_heads": 5,
        "num_hidden_layers": 9,
        "intermediate_size": 33,
        "vocab_size": 101,
        "max_position_embeddings": 64,
        "attention_bias": True,
        "mlp_bias": True,
    },
    {
        "model_type": "qwen3",
        "hidden_size": 20,
        "head_dim": 6,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "num_hidden_layers": 9,
        "intermediate_size": 33,
        "vocab_size": 101,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    },
]


@settings(deadline=None)
@given(st.sampled_from(ARCHITECTURES), st.integers(1, 9), st.integers(1, 12))
def test_the_plan_covers_the_model_and_weighs_what_the_formula_says(
    values: dict[str, Any], pp: int, tp: int
) -> None:
    config = DecoderConfig.from_hf(values, "here")
    layout = Layout(pp=pp, tp=tp)
    seen = {
        name: torch.zeros(spec.shape, dtype=torch.bool) for name, spec in checkpoint_tensors(config).items()
    }
    for rank in range(layout.world_size):
        at = layout.coordinates(rank)
        elements = 0
        for share in plan(config, layout, at):
            elements += torch.Size(share.shape).numel()
            for piece in share.pieces:
                index = (
                    (piece.rows.slice,) if piece.columns is None else (piece.rows.slice, piece.columns.slice)
                )
                seen[piece.source][index] = True
        assert elements == parameter_bytes(config.dimensions, layout, at, 1)
    assert all(tensor.all() for tensor in seen.values())


# Checkpoints


def write_safetensors(
    file: Path, config: DecoderConfig, without_prefix: bool = False
) -> dict[str, torch.Tensor]:
    from safetensors.torch import save_file  # noqa: PLC0415

    weights = random_weights(config)
    tensors = {name: whole_tensor(weights, config, name) for name in checkpoint_tensors(config)}
    stored = {name.removeprefix("transformer.") if without_prefix else name: t for name, t in tensors.items()}
    save_file(stored, file)
    return tensors


@pytest.mark.parametrize("without_prefix", [False, True])
def test_a_checkpoint_has_the_values_that_random_weights_have(tmp_path: Path, without_prefix: bool) -> None:
    """Names with the model's prefix and, as GPT2Model writes them, without."""
    write_safetensors(tmp_path / "model.safetensors", TINY, without_prefix)
    for layout in (Layout(), Layout(pp=2, tp=3)):
        for rank in range(layout.world_size):
            shares = plan(TINY, layout, layout.coordinates(rank))
            expected = load(shares, random_weights(), torch.float32, CPU)
            with CheckpointWeights(Checkpoint.open(tmp_path, TINY)) as weights:
                found = load(shares, weights, torch.float32, CPU)
            assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_tied_head_that_is_stored_must_be_the_embedding(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    file = tmp_path / "model.safetensors"
    write_safetensors(file, TINY)
    tensors = load_file(file)
    head = tensors["transformer.wte.weight"].clone()
    shares = plan(TINY, Layout(), Coordinates())

    save_file(tensors | {"lm_head.weight": head}, file)
    with CheckpointWeights(Checkpoint.open(tmp_path, TINY)) as weights:
        load(shares, weights, torch.float32, CPU)

    head[3, 3] += 1
    save_file(tensors | {"lm_head.weight": head}, file)
    with (
        CheckpointWeights(Checkpoint.open(tmp_path, TINY)) as weights,
        pytest.raises(UsageError, match="set tie_word_embeddings to false"),
    ):
        load(shares, weights, torch.float32, CPU)


def test_a_tied_head_may_be_all_that_is_stored(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    file = tmp_path / "model.safetensors"
    expected = write_safetensors(file, TINY)["transformer.wte.weight"]
    tensors = load_file(file)
    tensors["lm_head.weight"] = tensors.pop("transformer.wte.weight")
    save_file(tensors, file)
    with CheckpointWeights(Checkpoint.open(tmp_path, TINY)) as weights:
        assert torch.equal(whole_tensor(weights, TINY, "transformer.wte.weight"), expected)


def break_missing_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop("transformer.h.1.attn.c_attn.bias"))


def break_shape(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"transformer.ln_f.bias": torch.zeros(21)}))


def break_dtype(folder: Path) -> None:
    rewrite(
        folder, lambda tensors: tensors.update({"transformer.ln_f.bias": torch.zeros(20, dtype=torch.int8)})
    )


def break_length(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def break_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 12) + b"not JSON" * 2)


def break_empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def half_an_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {
        "transformer.wte.weight": "model-00001-of-00002.safetensors",
        "x": "model-00002-of-00002.safetensors",
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def no_index(folder: Path) -> None:
    nothing(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')


def rewrite(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_missing_tensor, "has no tensor transformer.h.1.attn.c_attn.bias"),
        (break_shape, r"ln_f.bias is \[21\], its config.json calls for \[20\]"),
        (break_dtype, "ln_f.bias is I8; supported are F64, F32, F16, BF16"),
        (break_length, "its length is not what its header says"),
        (break_header, "is not a complete safetensors file"),
        (break_empty, "is not a complete safetensors file"),
        (only_pickle, r"pickled \(.bin\); convert them"),
        (nothing, "has neither model.safetensors nor model.safetensors.index.json"),
        (half_an_index, "names 'model-00002-of-00002.safetensors', which is not there"),
        (no_index, "is not an index"),
    ],
)
def test_a_broken_checkpoint_is_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    write_safetensors(tmp_path / "model.safetensors", TINY)
    damage(tmp_path)
    with pytest.raises(UsageError, match=message) as error:
        Checkpoint.open(tmp_path, TINY)
    assert "\n" not in str(error.value)


# Headers that do not describe their file

ONE = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}
TWO = {"dtype": "F16", "shape": [2], "data_offsets": [12, 16]}


def write_header(file: Path, header: Any, data: int = 16) -> Path:
    encoded = (header if isinstance(header, str) else json.dumps(header)).encode()
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(data))
    return file


def test_a_sound_header_is_read(tmp_path: Path) -> None:
    unknown = {"dtype": "NEW", "shape": [9], "data_offsets": [12, 16]}
    empty = {"dtype": "F16", "shape": [0, 9], "data_offsets": [12, 12]}
    header = {"__metadata__": {"format": "pt"}, "b": unknown, "e": empty, "a": ONE}
    file = write_header(tmp_path / "a.safetensors", header)
    found = read_header(file)
    assert {name: (entry.shape, entry.dtype) for name, entry in found.items()} == {
        "a": ((2, 3), "F16"),
        "b": ((9,), "NEW"),
        "e": ((0, 9), "F16"),
    }
    assert found["b"].offset == file.stat().st_size - 4


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            {"a": ONE, "b": TWO | {"data_offsets": [12.0, 16.0]}},
            r"the data_offsets of 'b' are \[12.0, 16.0\]",
        ),
        ({"a": ONE, "b": TWO | {"data_offsets": [16, 12]}}, "the data_offsets of 'b' are"),
        ({"a": ONE, "b": TWO | {"data_offsets": [-4, 0]}}, "the data_offsets of 'b' are"),
        ({"a": ONE, "b": TWO | {"data_offsets": [12, 16, 20]}}, "the data_offsets of 'b' are"),
        ({"a": ONE, "b": TWO | {"data_offsets": "12"}}, "the data_offsets of 'b' are"),
        ({"a": ONE, "b": TWO | {"data_offsets": [12, 10**400]}}, "the data_offsets of 'b' are"),
        ({"a": ONE, "b": TWO | {"shape": [True, 2]}}, r"the shape of 'b' is \[True, 2\]"),
        ({"a": ONE, "b": TWO | {"shape": [-1, -2]}}, "the shape of 'b' is"),
        ({"a": ONE, "b": TWO | {"shape": [1] * 10**5}}, "the shape of 'b' is"),
        ({"a": ONE, "b": TWO | {"shape": [3]}}, "the place of 'b' does not agree with its shape"),
        ({"a": ONE, "b": TWO | {"dtype": None}}, "the dtype of 'b' is None"),
        ({"a": ONE, "b": TWO | {"data_offsets": [8, 12]}}, "'b' begins at byte 8 .* end at 12"),
        ({"a": ONE, "b": TWO | {"data_offsets": [14, 18]}}, "'b' begins at byte 14 .* end at 12"),
        ({"b": TWO}, "'b' begins at byte 12 .* end at 0"),
        ({"a": ONE}, "its length is not what its header says"),
        ({"a": ONE, "b": [1]}, "'b' is no table"),
        ({"a": ONE, "b\n\x1b[2J" * 10**4: 3}, r"'b\\n\\x1b.{0,100} is no table"),
        ([ONE, TWO], "its header is no table"),
        (f'{{"a": {json.dumps(ONE)}, "a": {json.dumps(ONE)}}}', "key 'a' is there twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ("[" * 10**5, "is not a complete safetensors file"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_one_line(tmp_path: Path, header: Any, message: str) -> None:
    file = write_header(tmp_path / "a.safetensors", header)
    with pytest.raises(UsageError, match=message) as error:
        read_header(file)
    assert str(error.value).startswith(f"{file}: is not a complete safetensors file (")
    assert len(str(error.value)) < len(str(file)) + 400


@pytest.mark.parametrize(
    ("length", "message"),
    [(100, "goes beyond its end"), (2**63, "goes beyond its end"), (0, "Expecting value")],
)
def test_the_length_of_a_header_is_within_the_file(tmp_path: Path, length: int, message: str) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(UsageError, match=message):
        read_header(file)


def test_a_header_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", 2**30))
        stream.truncate(2**31)
    with pytest.raises(UsageError, match="its header is longer than 16 MiB"):
        read_header(file)


@pytest.mark.parametrize(
    "name",
    [
        "../other.safetensors",
        "/etc/passwd",
        "sub/x.safetensors",
        "..",
        "",
        "a\0b",
        "a\nb",
        7,
        None,
        "x" * 10**5,
    ],
    ids=lambda name: str(name)[:20],
)
def test_an_index_names_files_beside_it(tmp_path: Path, name: Any) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"transformer.wte.weight": name}}))
    with pytest.raises(UsageError, match=r"names .*no name of a file beside it$") as error:
        Checkpoint.open(tmp_path, TINY)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < len(str(index)) + 200


def test_of_a_tensor_in_two_files_the_one_that_the_index_names_counts(tmp_path: Path) -> None:
    config = TINY
    write_safetensors(tmp_path / "b.safetensors", config)
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "b.safetensors").read_bytes())
    names = dict.fromkeys(checkpoint_tensors(config), "b.safetensors")
    names["transformer.wpe.weight"] = "a.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    entries = Checkpoint.open(tmp_path, config).entries
    assert {name: entry.file.name for name, entry in entries.items()} == names


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_the_system_says_is_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_safetensors(tmp_path / "model.safetensors", TINY)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(UsageError, match=f"model.safetensors: cannot be read: {os.strerror(number)}$"):
        Checkpoint.open(tmp_path, TINY)


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=f"{name}: is not a regular file"):
        Checkpoint.open(tmp_path, TINY)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UsageError, match=f"{name}: cannot be read: No such file or directory"):
        Checkpoint.open(tmp_path, TINY)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(name)
    with pytest.raises(UsageError, match=f"{name}: cannot be read: Too many levels of symbolic links"):
        Checkpoint.open(tmp_path, TINY)


# Memory


def private_bytes() -> int:
    """Memory that only this process has: neither shared with its parent by fork, nor pages of a file."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def data_bytes() -> int:
    """What RLIMIT_DATA counts: all mappings that are private and writable, used or not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


def load_watched(folder: str | None, layout: Layout, at: Coordinates) -> tuple[int, int, int]:
    """Return the most anonymous and the most data memory that loading added, and the bytes of the share."""
    config = presets.GPT2_MINI.config
    shares = plan(config, layout, at)
    load(plan(TINY, Layout(), Coordinates()), random_weights(), torch.float32, CPU)
    release_memory(CPU)
    before, data_before = private_bytes(), data_bytes()
    peak = data_peak = 0

    def watch(done: int, total: int) -> None:
        nonlocal peak, data_peak
        peak = max(peak, private_bytes() - before)
        data_peak = max(data_peak, data_bytes() - data_before)

    if folder is None:
        parameters = load(shares, random_weights(config), torch.float32, CPU, watch)
    else:
        with CheckpointWeights(Checkpoint.open(Path(folder), config)) as weights:
            parameters = load(shares, weights, torch.float32, CPU, watch)
    return peak, data_peak, sum(parameter.nbytes for parameter in parameters.values())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 92 MB, 64 of which are one table."""
    folder = tmp_path_factory.mktemp("mini")
    write_safetensors(folder / "model.safetensors", presets.GPT2_MINI.config)
    return folder


@pytest.mark.parametrize("source", ["checkpoint", "random"])
def test_loading_takes_little_more_than_the_share(cluster: Cluster, folder: Path, source: str) -> None:
    layout, at = Layout(pp=2, tp=4), Coordinates(pp=1, tp=2)
    path = str(folder) if source == "checkpoint" else None
    ((peak, data_peak, share),) = cluster.group(1).run(load_watched, path, layout, at)
    assert share == parameter_bytes(presets.GPT2_MINI.config.dimensions, layout, at, 4)
    blocks = 2 * (4 << 20)  # one of 1M elements, and what the allocator keeps of the one before
    assert share / 2 < peak < share + blocks
    assert data_peak < share + blocks
