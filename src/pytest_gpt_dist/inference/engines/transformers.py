"""transformers' ``generate`` as an engine, in its two documented ways.

The faster one has a static cache and compiled decode steps, the other one is what a user gets who asks for nothing
(``scripts/transformers_configurations.py`` measures them). Models are divided by transformers' own tensor
parallelism.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers
from torch._inductor import config as inductor
from transformers import (
    CompileConfig,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.batching import check_requests
from pytest_gpt_dist.inference.engines.hugging_face import (
    held_parameters,
    load_divided_model,
    load_whole_model,
)
from pytest_gpt_dist.inference.engines.lockstep import collect, note_token, working
from pytest_gpt_dist.inference.engines.protocol import Batch, ModelSource, Sampler, Stopwatch
from pytest_gpt_dist.inference.engines.samplers import takes_largest
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.model.packing import stored_bytes
from pytest_gpt_dist.parallel import Span, split

_PADDING = 0  # hidden by the attention mask, so any token will do


class TransformersEngine:
    """A whole model on one rank, or its share of it, with a static cache and compiled decode steps.

    Args:
        source: which model.
        mesh: this rank's place and device.
        report: told now and then how much of the model is loaded.

    Raises:
        UsageError: when the layout divides the model in another way than tensor parallelism.
    """

    compiled = True

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        layout = mesh.layout
        if layout.pp > 1:
            raise UsageError(f"transformers runs no pipelines here, and {layout} is one")
        if mesh.staged and layout.tp > 1:
            raise UsageError("transformers divides models over GPUs with NCCL alone")
        self._device = mesh.device
        self._size = source.config.dimensions
        self._divided = layout.tp > 1
        self._own = split(self._size.vocabulary, layout.tp)[mesh.at.tp]
        model: Any = (
            load_divided_model(source, mesh, report) if self._divided else load_whole_model(source, report)
        )
        # What a checkpoint says of sampling or of its end-of-text would be merged into every call.
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        self._model = model.to(mesh.device)
        if self.compiled:
            inductor.compile_threads = 1  # no pool of processes beside the ranks

    @property
    def parameter_bytes(self) -> int:
        """Bytes of what this rank holds of the model's parameters, shared storage counted once."""
        return stored_bytes(held_parameters(self._model))

    @property
    def communicates_itself(self) -> bool:
        """Whether the model is divided; see :class:`~pytest_gpt_dist.inference.engines.protocol.CommunicatesItself`."""
        return self._divided

    @property
    def configuration(self) -> Mapping[str, str | int | bool]:
        """The library's version, its attention, its cache, and whether decode steps are compiled."""
        return {
            "version": transformers.__version__,
            "attention": self._model.config._attn_implementation,
            "cache": "static" if self.compiled else "dynamic",
            "compiled": self.compiled,
        }

    @property
    def vocabulary(self) -> Span:
        """This rank's tokens, though the library gathers the logits of all."""
        return self._own

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens; see :class:`~pytest_gpt_dist.inference.engines.protocol.Engine`."""
        check_requests(batches, self._size)
        way = _compiled_steps(batches) if self.compiled else {}
        tokens: dict[int, list[int]] = {}
        for batch in batches:
            tokens |= self._run(batch, way, sampler, stopwatch)
        return tokens

    def close(self) -> None:
        """Free the model and what was compiled for it."""
        del self._model
        if self.compiled:
            torch.compiler.reset()

    def _run(
        self, batch: Batch, way: dict[str, Any], sampler: Sampler, stopwatch: Stopwatch | None
    ) -> dict[int, list[int]]:
        if stopwatch is not None:
            stopwatch.begin(batch)
        width = _longest(batch)
        padding = [width - len(request.prompt) for request in batch.requests]
        rows = [
            (_PADDING,) * pad + request.prompt for pad, request in zip(padding, batch.requests, strict=True)
        ]
        mask = [[0] * pad + [1] * (width - pad) for pad in padding]
        processors = [] if takes_largest(sampler) else [_Choice(batch, sampler, self._own)]
        made = self._model.generate(
            torch.tensor(rows, device=self._device),
            attention_mask=torch.tensor(mask, device=self._device),
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=batch.steps,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=_PADDING,
                **way,
            ),
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([_Listener(batch, stopwatch, self._device)]),
        )
        return collect(batch, made[:, width:].tolist())


class EagerTransformersEngine(TransformersEngine):
    """The same with transformers' own defaults: a cache that grows, and nothing compiled."""

    compiled = False


def _compiled_steps(batches: Sequence[Batch]) -> dict[str, Any]:
    """Return what compiles decode steps: for the one shape that all batches have, else for shapes as they come."""
    shapes = {(len(batch.requests), _longest(batch) + batch.steps) for batch in batches}
    how: Any = CompileConfig(fullgraph=True, dynamic=False if len(shapes) == 1 else None)
    how._compile_all_devices = True  # generate leaves out the CPU otherwise
    return {"cache_implementation": "static", "compile_config": how}


def _longest(batch: Batch) -> int:
    return max(len(request.prompt) for request in batch.requests)


class _Choice(LogitsProcessor):
    """Leaves no token to choose but the sampler's, who is shown this rank's own logits."""

    def __init__(self, batch: Batch, sampler: Sampler, own: Span) -> None:
        self._batch = batch
        self._sampler = sampler
        self._own = own.slice
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for microbatch, rows in working(self._batch, self._step):
            chosen = self._sampler(microbatch, self._step, scores[rows, self._own])
            scores[rows] = -torch.inf
            scores[rows].scatter_(1, chosen[:, None], 0.0)
        self._step += 1
        return scores


class _Listener(StoppingCriteria):
    """Never stops; it is asked once the rows have their tokens, where a streamer would copy them to the host."""

    def __init__(self, batch: Batch, stopwatch: Stopwatch | None, device: torch.device) -> None:
        self._batch = batch
        self._stopwatch = stopwatch
        self._go_on = torch.zeros(len(batch.requests), dtype=torch.bool, device=device)
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        note_token(self._batch, self._step, self._stopwatch)
        self._step += 1
        return self._go_on
