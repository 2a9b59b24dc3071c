"""What a model's name stands for: a preset, a folder, or a repository on the Hugging Face hub."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.model.checkpoint import Checkpoint
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.content_hash import hash_model, named_by_content
from pytest_gpt_dist.model.files import is_there, read_json
from pytest_gpt_dist.model.presets import Preset
from pytest_gpt_dist.registry import Registry, unknown

WeightsKind = Literal["random", "pretrained"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
_LARGEST_CONFIG = 2**22
_HUB_FILES = [
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
]


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that was found.

    Attributes:
        name: as the user named it.
        config: its shape.
        folder: the checkpoint that its weights are read from, checked to be complete; None for random
            weights.
        tokenizer: the folder or hub repository of its tokenizer, which may not be reachable; None if it has
            none.
        content: the hash of its files; None where the name alone says what it is.
        path: the folder that ``name`` is a path of; None for a preset and a hub repository.
    """

    name: str
    config: DecoderConfig
    folder: str | None
    tokenizer: str | None
    content: str | None = None
    path: Path | None = None

    @property
    def saved_name(self) -> str:
        """What it is called in ids and saved results: by no path, which would mean nothing on another machine."""
        if self.path is None or self.content is None:
            return self.name
        return named_by_content(self.path.name, self.content)

    @property
    def weights(self) -> WeightsKind:
        """Where its weights come from."""
        return "random" if self.folder is None else "pretrained"


def resolve(
    name: str, registry: Registry, weights: WeightsKind | None = None, *, offline: bool = False
) -> ResolvedModel:
    """Find a model.

    A preset has random weights unless ``pretrained`` ones are asked for; a folder and a hub repository have
    their own unless ``random`` ones are.

    Args:
        name: of a preset, else a folder as ``save_pretrained`` writes it, else a hub repository
            (``owner/name``).
        registry: knows the presets.
        weights: where they shall come from, if not from where the name suggests.
        offline: use nothing of the hub but what is already on this machine.

    Raises:
        UsageError: when there is no such model, it is not supported or not complete, or the hub cannot be
            reached.
    """
    if name in registry.models:
        preset = registry.model(name)
        if not isinstance(preset, Preset):
            raise UsageError(f"model {quoted(name)}: is registered as {quoted(preset)}, which is no Preset")
        if weights != "pretrained":
            return ResolvedModel(name, preset.config, None, preset.hub)
        if not preset.pretrained or preset.hub is None:
            raise UsageError(
                f"model {quoted(name)}: no trained weights of this shape exist; use random weights"
            )
        return _from_folder(name, _download(preset.hub, offline=offline), weights)
    if (path := _path(name)) is not None:
        return _from_folder(name, path.resolve(), weights, path)
    if not _may_be_on_hub(name):
        if "/" in name:
            raise UsageError(f"model {quoted(name)}: there is no such folder")
        raise unknown("model", name, registry.models, hint="; or give a folder, or a hub name as owner/name")
    return _from_folder(name, _download(name, offline=offline), weights)


def needs_hub(name: str, registry: Registry, weights: WeightsKind | None = None) -> bool:
    """Return whether the hub has to be asked for a model; UsageError where nobody can look for its folder."""
    if name in registry.models:
        preset = registry.model(name)
        return weights == "pretrained" and isinstance(preset, Preset) and preset.pretrained
    return _path(name) is None and _may_be_on_hub(name)


def _path(name: str) -> Path | None:
    """Return what is there of that name; its last part is what the user called it, also where it is a link."""
    try:
        path = Path(name).expanduser()
        return Path(os.path.abspath(path)) if name and path.exists() else None
    except OSError as error:
        raise UsageError(f"model {quoted(name)}: cannot be looked at: {error.strerror}") from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"model {quoted(name)}: is no name of a folder ({first_line(error)})") from None


def _may_be_on_hub(name: str) -> bool:
    return not name.startswith(("/", ".", "~")) and name.count("/") == 1 and not name.endswith("/")


def _from_folder(
    name: str, folder: Path, weights: WeightsKind | None, path: Path | None = None
) -> ResolvedModel:
    file = folder / "config.json"
    if not is_there(file):
        raise UsageError(f"model {quoted(name)}: {folder} is no model folder, it has no config.json")
    values = read_json(file, _LARGEST_CONFIG)
    if not isinstance(values, dict):
        raise UsageError(f"{file}: is not a JSON object")
    config = DecoderConfig.from_hf(values, str(file))
    tokenizer = str(folder) if any(os.path.isfile(folder / part) for part in _TOKENIZER_FILES) else None
    if weights == "random":
        content = None if path is None else hash_model(file, ())
        return ResolvedModel(name, config, None, tokenizer, content, path)
    files = {entry.file for entry in Checkpoint.open(folder, config).entries.values()}
    return ResolvedModel(name, config, str(folder), tokenizer, hash_model(file, files), path)


def _download(repository: str, *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415  slow to import, and seldom needed
    from huggingface_hub.errors import (  # noqa: PLC0415
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, allow_patterns=_HUB_FILES, local_files_only=offline))
    except GatedRepoError as error:
        raise UsageError(
            f"model {quoted(repository)}: the hub asks for a login; run `hf auth login` first"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UsageError(
            f"model {quoted(repository)}: is neither a preset, nor a folder, nor on the hub"
        ) from error
    except LocalEntryNotFoundError as error:
        reason = "and offline was asked for" if offline else "and the hub cannot be reached"
        raise UsageError(f"model {quoted(repository)}: is not on this machine, {reason}") from error
    except Exception as error:
        # Whatever else the client and the libraries under it raise is about the network.
        reason = first_line(error).strip() or type(error).__name__
        raise UsageError(f"model {quoted(repository)}: the hub cannot be reached ({reason})") from error
