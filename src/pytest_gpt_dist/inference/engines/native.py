"""The native engine: prefill, decode and the microbatch schedule of a pipeline, in one loop."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pytest_gpt_dist.inference.batching import check_requests
from pytest_gpt_dist.inference.engines.decode_step import FixedStep, RecordedStep, Step
from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    Microbatch,
    ModelSource,
    Sampler,
    Stopwatch,
)
from pytest_gpt_dist.inference.mesh import Mesh, PendingRecv
from pytest_gpt_dist.measure.rank_profile import phase
from pytest_gpt_dist.model.attention import takes_masks
from pytest_gpt_dist.model.cache import KVCache, Prompts, Window
from pytest_gpt_dist.model.checkpoint import Checkpoint
from pytest_gpt_dist.model.decoder import Stage, compile_layers, run_layer
from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.model.loading import load
from pytest_gpt_dist.model.packing import stored_bytes
from pytest_gpt_dist.model.sharding import plan, slices
from pytest_gpt_dist.model.upload import upload
from pytest_gpt_dist.model.weight_cache import KeptWeights
from pytest_gpt_dist.model.weights import CheckpointWeights, RandomWeights
from pytest_gpt_dist.parallel import Span

_ALL = slice(None)
_CACHE_COLUMNS = 16
"""Recorded steps read whole caches, for which attention wants a multiple of this many columns."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """What a microbatch leaves to the next one in its place.

    Attributes:
        cache: keys and values.
        decode: the recorded decode step over that cache; None where steps are not recorded.
    """

    cache: KVCache
    decode: Step | None


@dataclass(slots=True)
class _Lane:
    """A microbatch on its way through a stage.

    Attributes:
        microbatch: its requests.
        prompts: where its tokens stand.
        slot: its cache on this stage, and its recorded step.
        tokens: what the next pass embeds, ``[rows, tokens]``; on other stages than the first, the prompts.
        pending: what the next pass waits for: on the first stage the tokens that the last one chooses, ``[rows]``,
            elsewhere hidden states, of each part of the prompts or of all rows.
        chosen: last stage alone: the tokens so far, each ``[rows]``.
    """

    microbatch: Microbatch
    prompts: Prompts
    slot: _Slot
    tokens: torch.Tensor
    pending: deque[PendingRecv]
    chosen: list[torch.Tensor]


@dataclass(frozen=True, slots=True)
class _Made:
    """The tokens of a microbatch, each ``[rows]``; on the last stage alone there are any."""

    microbatch: Microbatch
    chosen: list[torch.Tensor]


class EagerNativeEngine:
    """One rank's share of the native decoder, its kernels launched one by one.

    Args:
        source: which model.
        mesh: this rank's place, device, and ways to communicate.
        report: told now and then how many bytes of how many are loaded.

    Raises:
        UsageError: when the checkpoint is incomplete, or the model cannot be divided like this.
    """

    recorded = False
    compiled = False

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        self._mesh = mesh
        self._dtype = torch_dtype(source.dtype)
        self._size = source.config.dimensions
        own = slices(self._size, mesh.layout, mesh.at)
        shares = plan(source.config, mesh.layout, mesh.at)
        if source.folder is None:
            random = RandomWeights(source.config, source.seed, mesh.device)
            kept = None
            if source.weight_cache is not None:
                kept = KeptWeights(Path(source.weight_cache), random, mesh.at.dp / mesh.layout.dp)
            parameters = load(shares, random, self._dtype, mesh.device, report, kept=kept)
        else:
            with CheckpointWeights(Checkpoint.open(Path(source.folder), source.config)) as weights:
                parameters = load(shares, weights, self._dtype, mesh.device, report)
        self._stage = Stage(source.config, own, parameters, mesh if mesh.layout.tp > 1 else None)
        self._slots: dict[tuple[int, int], _Slot] = {}
        self._records = self.recorded and mesh.device.type == "cuda" and not mesh.staged and takes_masks()
        self._run_layer = compile_layers() if self._records and self.compiled else run_layer

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the parameters that this rank holds, each counted once."""
        return stored_bytes(self._stage.parameters.values())

    @property
    def configuration(self) -> Mapping[str, str | int | bool]:
        """Whether decode steps are CUDA graphs, their layers compiled, and a tied head is copied."""
        return {
            "cuda_graphs": self._records,
            "compiled": self._records and self.compiled,
            "head_copied": self._stage.copies_head,
        }

    @property
    def vocabulary(self) -> Span:
        """Which tokens this rank's logits are for; empty on all stages but the last."""
        return self._stage.own.vocabulary if self._mesh.last else Span(0, 0)

    @torch.inference_mode()
    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens; see :class:`~pytest_gpt_dist.inference.engines.protocol.Engine`."""
        check_requests(batches, self._size)
        made: list[_Made] = []
        for batch in batches:
            made += [_Made(lane.microbatch, lane.chosen) for lane in self._run(batch, sampler, stopwatch)]
        return _collect(made) if self._mesh.last else {}

    def close(self) -> None:
        """Free weights, caches and recorded steps."""
        self._slots.clear()
        del self._stage
        if self._records and self.compiled:
            torch.compiler.reset()

    def _run(self, batch: Batch, sampler: Sampler, stopwatch: Stopwatch | None) -> list[_Lane]:
        """Let a batch through: microbatch after microbatch, so that each stage has one while the others work.

        The last stage hands every token back, the final ones too, so that the first begins no batch before
        the one ahead has ended. A send is waited for when as many came after it as there are microbatches, by when
        it has long arrived.
        """
        mesh = self._mesh
        if mesh.last and stopwatch is not None:
            stopwatch.begin(batch)
        lanes = [self._lane(slot, microbatch) for slot, microbatch in enumerate(batch.microbatches)]
        for step in range(1 + max(lane.microbatch.steps for lane in lanes)):
            for lane in lanes:
                steps = lane.microbatch.steps
                if mesh.first and 0 < step <= steps:
                    lane.tokens = self._last_tokens(lane)
                if step < steps:
                    self._pass(lane, step, sampler, stopwatch)
                    self._expect(lane, step + 1)
                    mesh.settle(keep=len(lanes))
        mesh.settle()
        return lanes

    def _pass(self, lane: _Lane, step: int, sampler: Sampler, stopwatch: Stopwatch | None) -> None:
        """Take a microbatch through this stage once."""
        mesh = self._mesh
        with phase("decode" if step else "prefill"):
            logits = self._decode(lane, step) if step else self._prefill(lane)
        if logits is None:
            return
        chosen = sampler(lane.microbatch, step, logits)
        lane.chosen.append(chosen)
        if stopwatch is not None:
            stopwatch.token(lane.microbatch)
        if not mesh.first:
            mesh.send_tokens(chosen)

    def _prefill(self, lane: _Lane) -> torch.Tensor | None:
        """Take the prompts through this stage, part by part; return logits, on the last stage alone."""
        mesh, stage, window = self._mesh, self._stage, lane.prompts.window(0)
        ends: list[torch.Tensor] = []
        for rows in (part.slice for part in lane.microbatch.rows):
            x = self._input(lane, window, rows)
            x = stage.forward(x, window, [cache.of(rows) for cache in lane.slot.cache.layers])
            if mesh.last:
                ends.append(lane.prompts.last(x, rows))
            else:
                mesh.send_next(x)
        return stage.logits(torch.cat(ends)) if mesh.last else None

    def _decode(self, lane: _Lane, step: int) -> torch.Tensor | None:
        """Take one token of each row through this stage; return logits, on the last stage alone."""
        mesh, stage, recorded = self._mesh, self._stage, lane.slot.decode
        if recorded is None:
            window = lane.prompts.window(step)
            x = stage.forward(self._input(lane, window), window, lane.slot.cache.layers)
            if mesh.last:
                return stage.logits(x[:, -1])
            mesh.send_next(x)
            return None
        if step == 1:
            recorded.begin(lane.prompts.lengths)
        x = recorded(lane.tokens if mesh.first else lane.pending.popleft().take())
        if mesh.last:
            return x
        # The next replay writes into the same memory, before this is settled.
        mesh.send_next(x.clone())
        return None

    def _input(self, lane: _Lane, window: Window, rows: slice = _ALL) -> torch.Tensor:
        """Return the hidden states that a pass begins with; they may be overwritten."""
        if self._mesh.first:
            return self._stage.embed(lane.tokens[rows], window)
        return lane.pending.popleft().take()

    def _expect(self, lane: _Lane, step: int) -> None:
        """Be ready for what another stage makes for a step, so that it never waits for this one to be."""
        mesh, microbatch = self._mesh, lane.microbatch
        rows = len(microbatch.requests)
        if mesh.first:
            if step and not mesh.last:
                lane.pending.append(mesh.expect_tokens((rows,)))
        elif step < microbatch.steps:
            tokens = 1 if step else lane.prompts.longest
            for part in [rows] if step else map(len, microbatch.rows):
                lane.pending.append(mesh.expect_previous((part, tokens, self._size.hidden), self._dtype))

    def _last_tokens(self, lane: _Lane) -> torch.Tensor:
        tokens = lane.chosen[-1] if self._mesh.last else lane.pending.popleft().take()
        return tokens[:, None]

    def _lane(self, slot: int, microbatch: Microbatch) -> _Lane:
        lengths = [len(request.prompt) for request in microbatch.requests]
        prompts = Prompts(lengths, self._size.positions, self._mesh.device)
        rows, columns = len(microbatch.requests), prompts.longest + microbatch.steps
        # Recorded steps are kept for each number of rows, because a round must not record.
        key = (slot, rows if self._records else 0)
        kept = self._slots.get(key)
        if kept is None or not kept.cache.fits(rows, columns):
            # Let go of the old one first: both together may not fit.
            del kept
            self._slots.pop(key, None)
            kept = self._slots[key] = self._slot(rows, columns)
        lane = _Lane(microbatch, prompts, kept, self._prompt_tokens(microbatch), deque(), [])
        self._expect(lane, 0)
        return lane

    def _slot(self, rows: int, columns: int) -> _Slot:
        if not self._records:
            return _Slot(self._stage.allocate_cache(rows, columns), None)
        cache = self._stage.allocate_cache(rows, -(-columns // _CACHE_COLUMNS) * _CACHE_COLUMNS)
        step = FixedStep(self._stage, self._mesh, cache, rows, self._run_layer)
        return _Slot(cache, RecordedStep(step, self._mesh))

    def _prompt_tokens(self, microbatch: Microbatch) -> torch.Tensor:
        width = microbatch.prompt_tokens
        padded = [request.prompt + (0,) * (width - len(request.prompt)) for request in microbatch.requests]
        return upload(torch.tensor(padded), self._mesh.device)


class NativeEngine(EagerNativeEngine):
    """The same with each decode step of a microbatch recorded as a CUDA graph; on a CPU there is no difference."""

    recorded = True


class CompiledNativeEngine(NativeEngine):
    """The same with the layers of recorded steps compiled."""

    compiled = True


def _collect(made: Sequence[_Made]) -> dict[int, list[int]]:
    """Copy tokens to the host, which waits for the device, so only when nothing is left to be started."""
    tokens: dict[int, list[int]] = {}
    for each in made:
        rows = torch.stack(each.chosen, dim=1).tolist()
        for request, row in zip(each.microbatch.requests, rows, strict=True):
            tokens[request.index] = row[: request.new_tokens]
    return tokens
