"""CTranslate2's ``Generator`` as an engine: a runtime of its own in C++, which decodes greedily by itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import torch
from ctranslate2.converters import TransformersConverter

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.scratch import Scratch
from pytest_gpt_dist.inference.batching import check_requests
from pytest_gpt_dist.inference.engines.hugging_face import load_whole_model
from pytest_gpt_dist.inference.engines.lockstep import collect, note_token
from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    Microbatch,
    ModelSource,
    Sampler,
    Stopwatch,
)
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.parallel import Span


class CTranslate2Engine:
    """A whole model on one rank; an engine that chooses itself.

    Args:
        source: which model.
        mesh: this rank's place and device.
        report: told now and then how much of the model is loaded.

    Raises:
        UsageError: when the layout divides the model, or the library refuses it.
    """

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        if mesh.layout.pp * mesh.layout.tp > 1:
            raise UsageError(f"ctranslate2 runs whole models here, which {mesh.layout} divides")
        self._device = mesh.device
        self._size = source.config.dimensions
        self._configuration: dict[str, str | int | bool] = {
            "version": ctranslate2.__version__,
            "compute_type": source.dtype,
            "intra_threads": torch.get_num_threads(),
            "inter_threads": 1,
        }
        with Scratch() as scratch:  # what a killed rank leaves of it is swept away
            try:
                converted = _Converter(source, scratch.folder, report).convert(
                    f"{scratch.folder}/converted", quantization=source.dtype
                )
                self._generator = ctranslate2.Generator(
                    converted,
                    device=mesh.device.type,
                    device_index=mesh.device.index or 0,
                    compute_type=source.dtype,
                    intra_threads=torch.get_num_threads(),
                    inter_threads=1,
                )
            except (ValueError, NotImplementedError) as error:
                raise UsageError(f"ctranslate2 refuses the model: {' '.join(str(error).split())}") from error

    @property
    def parameter_bytes(self) -> None:
        """Unknown: the library does not tell."""
        return

    @property
    def configuration(self) -> Mapping[str, str | int | bool]:
        """The library's version, the format that it computes in, and its threads."""
        return self._configuration

    @property
    def vocabulary(self) -> Span:
        """All tokens."""
        return Span(0, self._size.vocabulary)

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens greedily; see :class:`~pytest_gpt_dist.inference.engines.protocol.Engine`."""
        check_requests(batches, self._size)
        tokens: dict[int, list[int]] = {}
        for batch in batches:
            tokens |= self._run(batch, stopwatch)
        return tokens

    def forced_logits(self, microbatch: Microbatch, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return logits of given tokens; see :class:`~pytest_gpt_dist.inference.engines.protocol.SamplesItself`."""
        steps = len(tokens[0])
        ids = [[*request.prompt, *row[:-1]] for request, row in zip(microbatch.requests, tokens, strict=True)]
        logits = self._generator.forward_batch(ids)
        if self._device.type == "cpu":
            whole = torch.from_numpy(np.array(logits))
        else:
            whole = torch.as_tensor(logits, device=self._device)
        return torch.stack([row[len(own) - steps : len(own)] for row, own in zip(whole, ids, strict=True)])

    def close(self) -> None:
        """Free the model."""
        self._generator.unload_model()
        del self._generator

    def _run(self, batch: Batch, stopwatch: Stopwatch | None) -> dict[int, list[int]]:
        if stopwatch is not None:
            stopwatch.begin(batch)
        made = self._generator.generate_batch(
            [[str(token) for token in request.prompt] for request in batch.requests],
            max_length=batch.steps,
            end_token=[],
            include_prompt_in_result=False,
            callback=_Listener(batch, stopwatch, self._device) if stopwatch is not None else None,
        )
        return collect(batch, [result.sequences_ids[0] for result in made])


class _Listener:
    """Called for each token of each row; a step's token exists once every row has it.

    Rows with shorter prompts are ahead of the others, by the tokens that these still have to read.
    """

    def __init__(self, batch: Batch, stopwatch: Stopwatch, device: torch.device) -> None:
        self._batch = batch
        self._stopwatch = stopwatch
        # The library's own thread calls, whose current GPU may be another.
        self._on_device = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
        self._done = [0] * len(batch.requests)
        self._waiting = [len(batch.requests)] * batch.steps

    def __call__(self, token: Any) -> bool:
        step = self._done[token.batch_id]
        self._done[token.batch_id] += 1
        self._waiting[step] -= 1
        if not self._waiting[step]:
            with self._on_device:
                note_token(self._batch, step, self._stopwatch)
        return False


class _Converter(TransformersConverter):  # type: ignore[misc]
    """The library's converter, given the model instead of a checkpoint, and numbers for tokens."""

    def __init__(self, source: ModelSource, scratch: Path, report: Callable[[int, int], None] | None) -> None:
        super().__init__(str(scratch))
        (scratch / "config.json").write_text(json.dumps(source.config.to_hf()))
        self._source = source
        self._report = report

    def load_model(self, *_: Any, **__: Any) -> Any:
        return load_whole_model(self._source, self._report)

    def load_tokenizer(self, *_: Any, **__: Any) -> Any:
        return _Numbers(self._source.config.dimensions.vocabulary)

    def _load(self) -> Any:
        spec = super()._load()
        spec.config.layer_norm_epsilon = self._source.config.epsilon
        return spec


class _Numbers:
    """A tokenizer whose tokens are their ids; none is special, for no call names an end."""

    bos_token = eos_token = unk_token = pad_token = "0"

    def __init__(self, size: int) -> None:
        self._size = size

    def get_vocab(self) -> dict[str, int]:
        return {str(token): token for token in range(self._size)}
