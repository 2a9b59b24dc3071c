"""What models and files of one name are told apart by."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.catalog import ResolvedModel, needs_hub, resolve
from pytest_gpt_dist.model.content_hash import hash_file
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.registry import Registry, builtin

CONFIG = {
    "model_type": "gpt2",
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 1,
    "n_positions": 16,
    "vocab_size": 11,
}
REGISTRY = Registry()
builtin(REGISTRY)


def write_model(folder: Path, fill: int = 1, **changes: int) -> Path:
    """A checkpoint whose weights all hold the same byte."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    shapes = {
        name: spec.shape
        for name, spec in checkpoint_tensors(resolve(str(folder), REGISTRY, "random").config).items()
    }
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(header).encode()
    data = bytes([fill]) * end
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
    return folder


def found(folder: Path, weights: str | None = None) -> ResolvedModel:
    return resolve(str(folder), REGISTRY, "random" if weights == "random" else None)


def test_the_same_model_is_called_the_same_wherever_it_lies(tmp_path: Path) -> None:
    here = found(write_model(tmp_path / "here" / "mine"))
    there = found(Path(shutil.copytree(tmp_path / "here" / "mine", tmp_path / "there" / "mine")))
    assert here.saved_name == there.saved_name
    assert here.saved_name.startswith("mine-")
    assert len(here.saved_name) == len("mine-") + 6
    assert here.content == there.content


def test_another_name_is_no_other_model(tmp_path: Path) -> None:
    mine = found(write_model(tmp_path / "mine"))
    (tmp_path / "latest").symlink_to(tmp_path / "mine")
    latest = found(tmp_path / "latest")
    assert latest.saved_name.startswith("latest-")
    assert latest.content == mine.content


@pytest.mark.parametrize("weights", [None, "random"])
def test_another_shape_of_that_name_is_called_otherwise(tmp_path: Path, weights: str | None) -> None:
    one, other = (
        found(write_model(tmp_path / str(positions) / "mine", n_positions=positions), weights)
        for positions in (16, 32)
    )
    assert one.saved_name != other.saved_name


def test_two_states_of_a_training_are_called_otherwise_though_all_sizes_are_the_same(tmp_path: Path) -> None:
    folders = [write_model(tmp_path / str(fill) / "checkpoint", fill) for fill in (1, 2)]
    assert len({found(folder).saved_name for folder in folders}) == 2
    assert len({found(folder, "random").saved_name for folder in folders}) == 1


def test_presets_keep_their_names() -> None:
    assert resolve("gpt2-mini", REGISTRY).saved_name == "gpt2-mini"


@pytest.mark.parametrize(
    ("name", "weights", "asks"),
    [
        ("gpt2-mini", None, False),
        ("gpt2", None, False),
        ("gpt2", "pretrained", True),
        ("owner/name", None, True),
        ("./owner", None, False),
        ("/owner/name", None, False),
        ("nobody", None, False),
    ],
)
def test_the_hub_is_needed_for_what_is_nowhere_here(name: str, weights: str | None, asks: bool) -> None:
    assert needs_hub(name, REGISTRY, "pretrained" if weights else None) is asks


def test_a_folder_of_a_repositorys_name_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not needs_hub("owner/name", REGISTRY)


def test_what_is_no_file_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a regular file"):
        hash_file(tmp_path)
