"""llama.cpp as an engine, through the C interface that ``llama-cpp-python`` binds: it computes logits, we choose."""

import ctypes
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
import torch

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.scratch import Scratch
from pytest_gpt_dist.inference.batching import check_requests
from pytest_gpt_dist.inference.engines.gguf_file import write_gguf
from pytest_gpt_dist.inference.engines.hugging_face import load_whole_model
from pytest_gpt_dist.inference.engines.lockstep import collect, note_token, working
from pytest_gpt_dist.inference.engines.protocol import Batch, ModelSource, Sampler, Stopwatch
from pytest_gpt_dist.inference.engines.samplers import takes_largest
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.parallel import Span

# As ggml.h numbers them; the binding has no names for all.
_GGML_TYPES = {"float32": 0, "float16": 1, "bfloat16": 30}
_LOG_ERROR = 4
_INT32 = ctypes.POINTER(ctypes.c_int32)

_Integers = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]


class LlamaCppEngine:
    """A whole model on one rank, on the CPU.

    Args:
        source: which model.
        mesh: this rank's place and device.
        report: told now and then how much of the model is loaded.

    Raises:
        UsageError: when the layout divides the model, the device is no CPU, or the library refuses the model.
    """

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        if mesh.layout.pp * mesh.layout.tp > 1:
            raise UsageError(f"llama_cpp runs whole models here, which {mesh.layout} divides")
        if mesh.device.type != "cpu":
            raise UsageError(f"llama_cpp runs on CPUs here, and this is {mesh.device.type}")
        self._size = source.config.dimensions
        self._dtype = source.dtype
        self._context: _Context | None = None
        llama_cpp.llama_log_set(_LISTENER, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        with Scratch() as scratch:  # what a killed rank leaves of it is swept away
            file = scratch.folder / "model.gguf"
            write_gguf(file, source.config, load_whole_model(source, report))
            self._model = _load(file)
        self._configuration: dict[str, str | int | bool] = {
            "version": llama_cpp.__version__,
            "llama_cpp": llama_cpp.llama_version().decode(),
            "built_for": _built_for(),
            "threads": torch.get_num_threads(),
            "cache": source.dtype,
            "flash_attention": False,
        }

    @property
    def parameter_bytes(self) -> None:
        """Unknown: what the library tells counts vectors in float32, whatever the dtype."""
        return

    @property
    def configuration(self) -> Mapping[str, str | int | bool]:
        """Versions of the binding and of llama.cpp, what it was built for, its threads, cache and attention."""
        return self._configuration

    @property
    def vocabulary(self) -> Span:
        """All tokens."""
        return Span(0, self._size.vocabulary)

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens; see :class:`~pytest_gpt_dist.inference.engines.protocol.Engine`."""
        check_requests(batches, self._size)
        tokens: dict[int, list[int]] = {}
        for batch in batches:
            tokens |= _run(self._make_room(batches), batch, sampler, stopwatch)
        return tokens

    def close(self) -> None:
        """Free the model and the caches."""
        if self._context is not None:
            self._context.close()
        llama_cpp.llama_model_free(self._model)
        del self._model

    def _make_room(self, batches: Sequence[Batch]) -> "_Context":
        """Return caches for the largest of the batches, those at hand if they are as large."""
        rows = max(len(batch.requests) for batch in batches)
        columns = max(_longest(batch) + batch.steps for batch in batches)
        if self._context is None or not self._context.fits(rows, columns):
            # Let go of the old ones first: both together may not fit.
            if self._context is not None:
                self._context.close()
                self._context = None
            self._context = _Context(self._model, self._dtype, rows, columns)
        return self._context


class _Context:
    """A sequence with a cache of its own for each row, all decoded together."""

    def __init__(self, model: Any, dtype: str, rows: int, columns: int) -> None:
        self._rows, self._columns = rows, columns
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        _said.clear()
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_seq_max = rows
        wanted.n_ctx = wanted.n_batch = rows * columns
        wanted.n_outputs_max = rows  # else there is room for the logits of a whole prefill
        wanted.n_threads = wanted.n_threads_batch = torch.get_num_threads()
        wanted.type_k = wanted.type_v = _GGML_TYPES[dtype]
        # It would round keys and values of float32 to float16, and takes longer over prompts in 16 bits.
        wanted.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = llama_cpp.llama_init_from_model(model, wanted)
        if not self._context:
            raise UsageError(f"llama.cpp refuses {rows} rows of {columns} tokens: {_last_words()}")
        self._sequences = np.arange(rows, dtype=np.int32)

    def fits(self, rows: int, columns: int) -> bool:
        return rows <= self._rows and columns <= self._columns

    def clear(self) -> None:
        """Forget every token."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)

    def decode(self, tokens: _Integers, rows: _Integers, places: _Integers, wanted: _Flags) -> torch.Tensor:
        """Take tokens through the model.

        Args:
            tokens: their ids, ``[tokens]``, as all that follows.
            rows: the row of each, in order.
            places: its position in the row.
            wanted: whether its logits are.

        Returns:
            The wanted logits, ``[wanted, vocabulary]``, in memory that the next call writes into.
        """
        ids, positions = tokens.astype(np.int32), places.astype(np.int32)
        flags, counts = wanted.astype(np.int8), np.ones(len(ids), np.int32)
        # A token may be of several rows, so that the library wants a pointer to the row of each.
        sequences = self._sequences.ctypes.data + rows * self._sequences.itemsize
        batch = llama_cpp.llama_batch(
            n_tokens=len(ids),
            token=ids.ctypes.data_as(_INT32),
            pos=positions.ctypes.data_as(_INT32),
            n_seq_id=counts.ctypes.data_as(_INT32),
            seq_id=sequences.ctypes.data_as(ctypes.POINTER(_INT32)),
            logits=flags.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        failed = llama_cpp.llama_decode(self._context, batch)
        if failed:
            raise RuntimeError(f"llama_decode failed with {failed}: {_last_words()}")
        logits = llama_cpp.llama_get_logits(self._context)
        return torch.from_numpy(np.ctypeslib.as_array(logits, (int(flags.sum()), self._vocabulary)))

    def close(self) -> None:
        llama_cpp.llama_free(self._context)


def _run(
    context: _Context, batch: Batch, sampler: Sampler, stopwatch: Stopwatch | None
) -> dict[int, list[int]]:
    if stopwatch is not None:
        stopwatch.begin(batch)
    context.clear()
    prompts = [np.array(request.prompt) for request in batch.requests]
    rows, lengths = np.arange(len(prompts)), np.array([len(prompt) for prompt in prompts])
    made = np.zeros((len(rows), batch.steps), np.int64)
    greedy = takes_largest(sampler)
    for step in range(batch.steps):
        if step == 0:
            places = np.concatenate([np.arange(length) for length in lengths])
            last = places == np.repeat(lengths - 1, lengths)
            logits = context.decode(np.concatenate(prompts), np.repeat(rows, lengths), places, last)
        else:
            logits = context.decode(made[:, step - 1], rows, lengths + step - 1, np.ones(len(rows), np.bool_))
        for microbatch, own in working(batch, step):
            # numpy's argmax takes a tenth of the time.
            made[own, step] = (
                logits[own].numpy().argmax(axis=1) if greedy else sampler(microbatch, step, logits[own])
            )
        note_token(batch, step, stopwatch)
    return collect(batch, made.tolist())


def _longest(batch: Batch) -> int:
    return max(len(request.prompt) for request in batch.requests)


def _load(file: Path) -> Any:
    wanted = llama_cpp.llama_model_default_params()
    wanted.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE  # read, not mapped: memory of its own has large pages
    wanted.n_gpu_layers = 0
    _said.clear()
    model = llama_cpp.llama_model_load_from_file(str(file).encode(), wanted)
    if not model:
        raise UsageError(f"llama.cpp refuses the model: {_last_words()}")
    return model


def _built_for() -> str:
    """Which of the processor's instructions the library was built to use, and what else it was built with."""
    said = llama_cpp.llama_print_system_info().decode()
    parts = (part.split("=") for part in said.replace(":", "|").split("|") if "=" in part)
    return " ".join(name.strip() for name, value in parts if value.strip() == "1")


_said: deque[str] = deque(maxlen=4)


def _listen(level: int, text: bytes, _: Any) -> None:
    if level == _LOG_ERROR:
        _said.append(" ".join(text.decode(errors="replace").split()))


_LISTENER = llama_cpp.llama_log_callback(_listen)  # as long as the library may call it


def _last_words() -> str:
    """Return what the library complained of last, instead of on stderr."""
    return "; ".join(_said)
