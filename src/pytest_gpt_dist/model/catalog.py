"""What a model's name stands for: a preset, a folder, or a repository on the Hugging Face hub."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.model.checkpoint import Checkpoint
from pytest_gpt_dist.model.config import DecoderConfig
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
    """

    name: str
    config: DecoderConfig
    folder: str | None
    tokenizer: str | None

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
        if not preset.pretrained:
            raise UsageError(
                f"model {quoted(name)}: no trained weights of this shape exist; use random weights"
            )
        return _from_folder(name, _download(preset.hub, offline=offline), weights)
    try:
        path = Path(name).expanduser()
        exists = bool(name) and path.exists()
    except OSError as error:
        raise UsageError(f"model {quoted(name)}: cannot be looked at: {error.strerror}") from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"model {quoted(name)}: is no name of a folder ({first_line(error)})") from None
    if exists:
        return _from_folder(name, path.resolve(), weights)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1 or name.endswith("/"):
        if "/" in name:
            raise UsageError(f"model {quoted(name)}: there is no such folder")
        raise unknown("model", name, registry.models, hint="; or give a folder, or a hub name as owner/name")
    return _from_folder(name, _download(name, offline=offline), weights)


def _from_folder(name: str, folder: Path, weights: WeightsKind | None) -> ResolvedModel:
    file = folder / "config.json"
    if not is_there(file):
        raise UsageError(f"model {quoted(name)}: {folder} is no model folder, it has no config.json")
    values = read_json(file, _LARGEST_CONFIG)
    if not isinstance(values, dict):
        raise UsageError(f"{file}: is not a JSON object")
    config = DecoderConfig.from_hf(values, str(file))
    tokenizer = str(folder) if any(os.path.isfile(folder / part) for part in _TOKENIZER_FILES) else None
    if weights == "random":
        return ResolvedModel(name, config, None, tokenizer)
    Checkpoint.open(folder, config)
    return ResolvedModel(name, config, str(folder), tokenizer)


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
