"""The safetensors files of a folder: which tensors are in which file, read from the headers alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_gpt_dist import strict_json
from pytest_gpt_dist.errors import UsageError, quoted, shortened
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.files import is_file_name, is_there, read_json
from pytest_gpt_dist.model.safetensors_header import Entry, read_header
from pytest_gpt_dist.model.tensors import HEAD_NAME, PREFIXES, checkpoint_tensors, embedding_name

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_DTYPES = ("F64", "F32", "F16", "BF16")
_LARGEST_INDEX = 2**24


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose files hold every tensor that a model needs.

    Attributes:
        folder: the folder.
        entries: where each tensor is, by its full name.
        twins: by the same names, tensors that must have the same values: a tied head that is stored all the same.
    """

    folder: Path
    entries: Mapping[str, Entry]
    twins: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path, config: DecoderConfig) -> "Checkpoint":
        """Read the headers and check them against the model.

        Raises:
            UsageError: when a file or tensor is missing, of another shape, or of a dtype that is not
                supported.
        """
        stored = _stored_tensors(folder)
        entries = {}
        for name, spec in checkpoint_tensors(config).items():
            entry = _find(stored, name)
            if entry is None and config.dimensions.tied and name == embedding_name(config):
                entry = stored.get(HEAD_NAME)
            if entry is None:
                raise UsageError(f"{folder}: has no tensor {name}, which its config.json calls for")
            entries[name] = _checked(entry, spec.shape)
        twins = {}
        if config.dimensions.tied and HEAD_NAME in stored:
            embedding = embedding_name(config)
            twins[embedding] = _checked(stored[HEAD_NAME], entries[embedding].shape)
        return cls(folder, entries, twins)


def _checked(entry: Entry, shape: tuple[int, ...]) -> Entry:
    if entry.shape != shape:
        raise UsageError(
            f"{entry.file}: {entry.stored_name} is {quoted(list(entry.shape))}, its config.json calls for {list(shape)}"
        )
    if entry.dtype not in _DTYPES:
        raise UsageError(
            f"{entry.file}: {entry.stored_name} is {shortened(entry.dtype)}; supported are {', '.join(_DTYPES)}"
        )
    return entry


def _find(stored: Mapping[str, Entry], name: str) -> Entry | None:
    if name in stored:
        return stored[name]
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return stored.get(name.removeprefix(prefix))


def _stored_tensors(folder: Path) -> dict[str, Entry]:
    single, index = folder / _SINGLE, folder / _INDEX
    if is_there(single):
        return read_header(single)
    if not is_there(index):
        if any(folder.glob("*.bin")):
            raise UsageError(
                f"{folder}: its weights are pickled (.bin); convert them with "
                "model.save_pretrained(folder), which writes safetensors"
            )
        raise UsageError(f"{folder}: has neither {_SINGLE} nor {_INDEX}")
    weight_map = _weight_map(index)
    stored: dict[str, Entry] = {}
    for name in sorted(set(weight_map.values())):
        file = folder / name
        if not is_there(file):
            raise UsageError(f"{index}: names {quoted(name)}, which is not there")
        # Of a tensor that is in several files, that which the index names counts.
        stored |= {
            tensor: entry
            for tensor, entry in read_header(file).items()
            if weight_map.get(tensor, name) == name
        }
    return stored


def _weight_map(index: Path) -> dict[str, str]:
    """Return the file of each tensor, all of them in the index's own folder."""
    content = read_json(index, _LARGEST_INDEX, strict_json.loads)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise UsageError(f"{index}: is not an index of safetensors files: it has no table weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or not is_file_name(name):
            raise UsageError(f"{index}: names {quoted(name)}, which is no name of a file beside it")
    return weight_map
