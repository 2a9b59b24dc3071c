"""What cases are made of: models, prompts and their token ids, each found once for all cases that share it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.inference.engines.protocol import Request
from pytest_gpt_dist.inference.entry_points import tokenize
from pytest_gpt_dist.inference.prompt_files import PromptFiles
from pytest_gpt_dist.inference.prompts import (
    BYTE_TOKENIZER,
    Prompt,
    Tokenize,
    find_tokenizer,
    shipped_prompts,
    tokenize_bytes,
)
from pytest_gpt_dist.inference.workload import PathNames, Workload, build_requests
from pytest_gpt_dist.measure.mode import Groups
from pytest_gpt_dist.model.catalog import ResolvedModel, needs_hub, resolve
from pytest_gpt_dist.registry import Registry


class Inputs:
    """Finds models, prompts and tokenizers of workloads, and remembers them for a session.

    A tokenizer that only ranks can load runs on a group of one; where ``offline``, the hub is not asked.
    """

    def __init__(self, registry: Registry, groups: Groups, *, offline: bool) -> None:
        self._registry = registry
        self._groups = groups
        self._offline = offline
        self._models: dict[tuple[str, str | None], ResolvedModel] = {}
        self._files = PromptFiles()
        self._tokenized: dict[tuple[str, tuple[str, ...]], list[list[int]]] = {}

    def asks_hub(self, workload: Workload) -> bool:
        """Return whether finding the model may take the network."""
        return not self._offline and self._needs_hub(workload)

    def model(self, workload: Workload) -> ResolvedModel:
        """Return the model of a workload; UsageError where there is none of that name."""
        key = (workload.model, workload.weights)
        if key not in self._models:
            self._models[key] = resolve(
                workload.model, self._registry, workload.weights, offline=self._offline
            )
        return self._models[key]

    def prompts(self, workload: Workload) -> Sequence[Prompt]:
        """Return the prompts that requests are made of; UsageError where their file cannot be read."""
        if isinstance(workload.prompts, tuple):
            return workload.prompts
        return shipped_prompts() if workload.prompts is None else self._files.read(Path(workload.prompts))

    def tokenizer(self, model: ResolvedModel) -> tuple[str, Tokenize]:
        """Return what a model's tokenizer is called, and what it makes of texts."""
        folder = find_tokenizer(model.tokenizer)
        if folder is None:
            return BYTE_TOKENIZER, tokenize_bytes
        return model.saved_name, lambda texts: self._tokenize(folder, tuple(texts))

    def requests(self, workload: Workload, gpus: int) -> tuple[Request, ...]:
        """Return the requests of a world of that many devices."""
        model = self.model(workload)
        return build_requests(
            workload, self.prompts(workload), gpus, model.config.dimensions, self.tokenizer(model)[1]
        )

    def path_names(self, workload: Workload) -> PathNames:
        """Return what a model and a prompt file are called that are given by a path.

        Of what cannot be read there is none; the session says so before its first case.
        """
        model = prompts = None
        with suppress(UsageError):
            if not self._needs_hub(workload):
                resolved = self.model(workload)
                model = None if resolved.path is None else resolved.saved_name
        with suppress(UsageError):
            if isinstance(workload.prompts, str):
                prompts = self._files.name(Path(workload.prompts))
        return PathNames(model, prompts)

    def _needs_hub(self, workload: Workload) -> bool:
        return needs_hub(workload.model, self._registry, workload.weights)

    def _tokenize(self, folder: str, texts: tuple[str, ...]) -> list[list[int]]:
        """Return token ids by a tokenizer that only ranks can load; it is asked once, as cases share prompts."""
        key = (folder, texts)
        if key not in self._tokenized:
            try:
                (self._tokenized[key],) = self._groups.group(1).run(tokenize, folder, texts)
            except RankGroupError as error:
                raise UsageError(
                    f"{folder}: its prompts could not be tokenized: {first_line(error)}"
                ) from None
        return self._tokenized[key]
