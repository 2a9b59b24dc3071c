"""A decode step whose kernels are the same for every token, so that a CUDA graph can hold it."""

from __future__ import annotations

from typing import Protocol

import torch

from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.model.cache import KVCache, Window
from pytest_gpt_dist.model.decoder import RunLayer, Stage

_WARM_UPS = 2
"""What libraries allocate or choose at their first calls must not fall into the recording."""


class Step(Protocol):
    """One decode step of a microbatch on a stage."""

    def begin(self, lengths: torch.Tensor) -> None:
        """Go to the first new token; ``lengths`` are those of the prompts, ``[rows]``."""
        ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Turn tokens or hidden states into hidden states or logits; the next call may overwrite them."""
        ...


class FixedStep:
    """A step in which nothing changes from token to token but what tensors hold.

    Each row's column is counted on the device, and attention reads the whole cache under a mask that follows from it.

    Args:
        stage: the rank's share of the model.
        mesh: the rank's place in the pipeline.
        cache: of the microbatch.
        rows: requests of the microbatch.
        run: how a layer is run.
    """

    def __init__(self, stage: Stage, mesh: Mesh, cache: KVCache, rows: int, run: RunLayer) -> None:
        self._stage, self._mesh, self._cache, self._run = stage, mesh, cache, run
        self._rotary = stage.rotary  # the stage may take a larger one, which a recording knows nothing of
        self._device, self._dtype = mesh.device, cache.layers[0].keys.dtype
        size = stage.config.dimensions
        self._last_position = size.positions - 1
        shape, kind = ((rows, 1), torch.int64) if mesh.first else ((rows, 1, size.hidden), self._dtype)
        self._inputs = torch.zeros(shape, dtype=kind, device=self._device)
        self._rows = torch.arange(rows, device=self._device)
        self._columns = torch.zeros(rows, dtype=torch.int64, device=self._device)
        self._places = torch.arange(cache.capacity, device=self._device)

    def begin(self, lengths: torch.Tensor) -> None:
        """Go to the first new token; ``lengths`` are those of the prompts, ``[rows]``."""
        self._columns.copy_(lengths)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Turn tokens ``[rows, 1]`` or hidden states ``[rows, 1, hidden]`` into hidden states or logits."""
        self.take(x)
        return self.compute()

    def take(self, x: torch.Tensor) -> None:
        """Put the inputs of the next token where ``compute`` reads them."""
        self._inputs.copy_(x)

    def compute(self) -> torch.Tensor:
        """Run the step on what was taken, and go to the next token."""
        stage, mesh = self._stage, self._mesh
        window = self._window()
        # The layers write into their input.
        x = stage.embed(self._inputs, window) if mesh.first else self._inputs.clone()
        x = stage.forward(x, window, self._cache.layers, self._run)
        # A row that has all its tokens may run on beyond the context while others still want some.
        self._columns.add_(1).clamp_(max=self._last_position)
        return stage.logits(x[:, -1]) if mesh.last else x

    def _window(self) -> Window:
        hidden = self._places > self._columns[:, None]
        # Added to the scores, not a truth value, which every layer's attention would turn into this again.
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=self._device)
        mask = mask.masked_fill_(hidden, -torch.inf)[:, None, None, :]
        return Window(0, self._cache.capacity, self._rows, self._columns, mask)


class RecordedStep:
    """A fixed step as a CUDA graph, its collectives in it; each call replays it.

    Every rank of a stage records at the same time: trying the step before, they communicate. What that counted is
    taken back, so that a round counts its own communication alone. No watchdog of NCCL sees a replayed collective that
    hangs; the controller's patience ends it. A graph must be let go of before NCCL's communicators, which wait for it.
    """

    def __init__(self, step: FixedStep, mesh: Mesh) -> None:
        self._step, self._mesh = step, mesh
        before = mesh.traffic
        stream, aside = torch.cuda.current_stream(mesh.device), torch.cuda.Stream(mesh.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(stream)
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                step.compute()
        stream.wait_stream(aside)
        tried = mesh.traffic
        self._graph = torch.cuda.CUDAGraph()
        # Else a graph may use the workspace that an earlier one allocated, and that ends with it.
        torch._C._cuda_clearCublasWorkspaces()
        # Other threads, NCCL's among them, may go on with what a recording forbids.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = step.compute()
        torch._C._cuda_clearCublasWorkspaces()
        self._traffic = mesh.traffic - tried
        mesh.count(before - mesh.traffic)

    def begin(self, lengths: torch.Tensor) -> None:
        """Go to the first new token; ``lengths`` are those of the prompts, ``[rows]``."""
        self._step.begin(lengths)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Turn tokens or hidden states into hidden states or logits; the next call overwrites them."""
        self._step.take(x)
        self._graph.replay()
        self._mesh.count(self._traffic)
        return self._outputs
