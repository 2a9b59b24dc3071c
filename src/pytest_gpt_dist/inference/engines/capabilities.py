"""What engines cannot do: decided before any rank starts, without importing their libraries."""

import ctypes
import os
import re
import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from pytest_gpt_dist.inference.engines.protocol import ModelSource, Task
from pytest_gpt_dist.installation import install_extra, install_needed
from pytest_gpt_dist.parallel import Dimensions

_COMPARABLE = "pure_data_parallel is what it can be compared in"
_DIVIDES_FROM = (5, 22)  # before, the embedding was whole everywhere, or compiled steps failed
_CTRANSLATE2_DTYPES = {"cpu": ("float32",), "cuda": ("float32", "float16", "bfloat16")}
_CTRANSLATE2_CUBLAS = "libcublas.so.12"  # what its wheels are built for
_LLAMA_CPP_DTYPES = ("float32", "float16", "bfloat16")
_LLAMA_CPP_ROWS = 256  # LLAMA_MAX_SEQ, which is compiled in


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an engine ends.

    Attributes:
        library: what it imports, also the name under which that is installed if ``package`` is None.
        install: the command that installs it, or a function that tells it.
        refuse: says why a task is beyond the engine, or None.
        package: the name under which the library is installed.
        besides: what else the engine imports that is no part of this package's own requirements.
    """

    library: str
    install: str | Callable[[], str]
    refuse: Callable[[Task], str | None]
    package: str | None = None
    besides: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        """Version of the library; None where it is not installed as a package."""
        try:
            return version(self.package or self.library)
        except PackageNotFoundError:
            return None

    def lacks(self, task: Task) -> str | None:
        """Return why the engine cannot do a task on this machine, in one line, or None."""
        for library in (self.library, *self.besides):
            if find_spec(library) is None:
                command = self.install if isinstance(self.install, str) else self.install()
                return f"{library} is not installed: {command}"
        return self.refuse(task)


def whole_models_only(name: str, task: Task) -> str | None:
    """Why an engine that cannot divide a model cannot use a layout."""
    layout = task.layout
    if layout.pp == layout.tp == 1:
        return None
    return f"{name} runs whole models here, which {layout} divides; {_COMPARABLE}"


def _ends_rows_together(name: str, task: Task) -> str | None:
    """Rows go on until the longest is done, which a table of positions has an end for."""
    size = task.source.config.dimensions
    if not size.learned_positions:
        return None
    for batch in (batch for batches in task.batches for batch in batches):
        for request in batch.requests:
            if len(request.prompt) + batch.steps > size.positions:
                return (
                    f"{name} ends the rows of a batch together: request {request.index} with its "
                    f"{len(request.prompt)} prompt tokens would go on for {batch.steps}, beyond the model's "
                    f"context of {size.positions}; ask for fewer new tokens"
                )
    return None


def _mistakes_prompts_for_answers(task: Task) -> str | None:
    """Seen in 4.8.5: of unlike prompts of which one is a single token the rest comes back among the new tokens."""
    for batch in (batch for batches in task.batches for batch in batches):
        lengths = {len(request.prompt) for request in batch.requests}
        if 1 in lengths and len(lengths) > 1:
            return "ctranslate2 cannot start a prompt of one token together with longer ones"
    return None


def _refused_by_compiled_native(task: Task) -> str | None:
    if task.device != "cuda":
        return f"native-compiled compiles the steps of CUDA graphs, and this is {task.device}: take native"
    if task.layout.tp > 1:
        return f"native-compiled compiles whole layers, which the all-reduces of {task.layout} interrupt: take native"
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]  # as triton looks for them
    if not any(map(shutil.which, compilers)):
        return f"native-compiled needs a C compiler ({' or '.join(compilers)}): install one, or take native"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"native-compiled needs {header}: install Python's headers, or take native"
    return None


def _not_divided_by_transformers(task: Task) -> str | None:
    """Why transformers' own tensor parallelism cannot divide a model as a layout says."""
    layout = task.layout
    if layout.pp > 1:
        return f"transformers runs no pipelines here, and {layout} is one; {_COMPARABLE}"
    if layout.tp == 1:
        return None
    if task.source.config.architecture == "gpt2":
        return f"transformers has no plan to divide gpt2 models, which {layout} does; {_COMPARABLE}"
    found = version("transformers")
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < _DIVIDES_FROM:
        return "transformers divides models here from {}.{} on, and this is {}".format(*_DIVIDES_FROM, found)
    if task.staged:
        return "transformers divides models over GPUs with NCCL alone, which shared GPUs and gloo rule out"
    return _dealt_otherwise_by_transformers(task.source.config.dimensions, layout.tp)


def _dealt_otherwise_by_transformers(size: Dimensions, tp: int) -> str | None:
    """Why its slices would not be those that the layout's formulas know."""
    if size.kv_heads % tp:
        return (
            f"transformers cannot deal {size.kv_heads} key/value heads to {tp} ranks: they must divide evenly"
        )
    for what, count in (("an MLP width", size.mlp), ("a vocabulary", size.vocabulary)):
        # All its slices but the last are as wide as the first, those of the layout's formulas differ by one.
        if count % tp not in (0, tp - 1):
            return f"transformers cuts {what} of {count} unevenly over {tp} ranks, unlike the other engines"
    return None


def _refused_by_transformers(task: Task) -> str | None:
    if task.source.dtype == "float64":
        return "transformers rounds logits to float32 before a token is chosen: choose another dtype than float64"
    return _not_divided_by_transformers(task) or _ends_rows_together("transformers", task)


def _refused_by_compiled_transformers(task: Task) -> str | None:
    compiler = os.environ.get("CXX", "g++")  # as torch looks for it
    if shutil.which(compiler) is None:
        return f"transformers compiles decode steps, which needs {compiler}; or take the engine transformers-eager"
    return _refused_by_transformers(task)


def _finds_cublas() -> bool:
    """Whether a rank would: torch's wheels for that CUDA bring it, and load it where it lies."""
    if any(each.startswith("nvidia-cublas-cu12") for each in requires("torch") or ()):
        return True
    try:
        ctypes.CDLL(_CTRANSLATE2_CUBLAS)
    except OSError:
        return False
    return True


def _refused_by_ctranslate2(task: Task) -> str | None:
    config, dtype, sampling = task.source.config, task.source.dtype, task.sampling
    size = config.dimensions
    dtypes = _CTRANSLATE2_DTYPES[task.device]
    if dtype not in dtypes:
        return f"ctranslate2 has no {dtype} on {task.device}, only {', '.join(dtypes)}"
    if task.device == "cuda" and not _finds_cublas():
        return (
            f"ctranslate2 needs {_CTRANSLATE2_CUBLAS}, and torch may bring that of another CUDA: pip install"
            " nvidia-cublas-cu12, and name its folder in LD_LIBRARY_PATH"
        )
    if sampling.on or sampling.repetition_penalty != 1:
        return "ctranslate2 draws and penalises tokens in ways of its own: leave out the sampling options"
    if config.architecture == "llama" and size.heads * size.head_dim != size.hidden:
        return "ctranslate2 knows Llama models only with heads × head_dim = hidden_size"
    if config.rotary is not None and config.rotary.scaling is not None:
        # Seen in 4.8.5: Llama 3.1 and 3.2 would fail the check of their logits.
        return "ctranslate2 converts scaled rotary positions without their factor, which makes other logits"
    return (
        whole_models_only("ctranslate2", task)
        or _ends_rows_together("ctranslate2", task)
        or _mistakes_prompts_for_answers(task)
    )


def _refused_by_llama_cpp(task: Task) -> str | None:
    if task.device != "cpu":
        return f"llama_cpp runs on CPUs here, which is what pip builds its library for, and this is {task.device}"
    if task.source.dtype not in _LLAMA_CPP_DTYPES:
        return f"llama_cpp has no {task.source.dtype}, only {', '.join(_LLAMA_CPP_DTYPES)}"
    rows = max(len(batch.requests) for batches in task.batches for batch in batches)
    if rows > _LLAMA_CPP_ROWS:
        return f"llama_cpp decodes at most {_LLAMA_CPP_ROWS} rows together, and a batch has {rows}"
    return (
        whole_models_only("llama_cpp", task)
        or _computed_otherwise_by_llama_cpp(task.source)
        or _ends_rows_together("llama_cpp", task)
    )


def _computed_otherwise_by_llama_cpp(source: ModelSource) -> str | None:
    """Return what its own code of an architecture leaves no choice in; seen in llama-cpp-python 0.3.36."""
    config = source.config
    if config.architecture == "gpt2" and config.activation != "gelu_tanh":
        return f"llama_cpp has GPT-2 with its own GELU alone, and this one has {config.activation}"
    if config.architecture == "gpt2" and source.dtype == "float32":
        return (
            "llama_cpp looks GPT-2's GELU up in a table of 16-bit numbers, which makes other logits than "
            "float32: choose bfloat16 or float16, or another model"
        )
    if config.architecture == "qwen3" and config.dimensions.attention_bias:
        return "llama_cpp knows no bias of attention's output in Qwen3 models"
    return None


COMPILED_NATIVE = Limits("torch", partial(install_needed, "torch"), _refused_by_compiled_native)
TRANSFORMERS = Limits(
    "transformers", partial(install_needed, "transformers"), _refused_by_compiled_transformers
)
TRANSFORMERS_EAGER = Limits("transformers", partial(install_needed, "transformers"), _refused_by_transformers)
CTRANSLATE2 = Limits("ctranslate2", partial(install_extra, "ctranslate2"), _refused_by_ctranslate2)
LLAMA_CPP = Limits(
    "llama_cpp",
    partial(install_extra, "llama-cpp"),
    _refused_by_llama_cpp,
    package="llama-cpp-python",
    besides=("gguf",),
)
