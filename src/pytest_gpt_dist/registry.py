"""What can be named on the command line, by import path, so that nothing is imported before it is used."""

import difflib
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.results.result_format import add_format

if TYPE_CHECKING:
    from pytest_gpt_dist.parallel.strategy import Strategy

DEFAULT_MODE = "inference"
"""Of a matrix that names none."""


def unknown(kind: str, name: str, known: Iterable[str], *, hint: str = "") -> UsageError:
    """Return the error for a name that does not exist, with the nearest ones that do.

    Args:
        kind: what was looked for, such as ``strategy``.
        name: the name that was given.
        known: the names that exist.
        hint: what else the user may want to know, at the end of the line.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3)
    said = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
    return UsageError(f"unknown {kind} {quoted(name)}: {said}{hint}")


class Registry:
    """Strategies, engines, models and modes by name, each the import path ``package.module:attribute`` of

    * a strategy: a class without arguments that is a :class:`~pytest_gpt_dist.parallel.strategy.Strategy`;
    * a strategy of training: a class without arguments that is a
      :class:`~pytest_gpt_dist.training.strategy.TrainingStrategy`;
    * an engine: a class or function that is an :class:`~pytest_gpt_dist.inference.engines.protocol.EngineFactory`;
    * a model: a :class:`~pytest_gpt_dist.model.presets.Preset`;
    * a mode: a class or function that makes a :class:`~pytest_gpt_dist.measure.mode.Mode` of a
      :class:`~pytest_gpt_dist.measure.mode.ModeContext`.
    """

    def __init__(self) -> None:
        self._paths: dict[str, dict[str, str]] = {
            kind: {}
            for kind in ("strategy", "training strategy", "engine", "limits", "model", "mode", "format")
        }

    def add_strategy(self, name: str, path: str) -> None:
        """Make a strategy known; the order in which they are added is the one they are listed in."""
        self._add("strategy", name, path)

    def add_training_strategy(self, name: str, path: str) -> None:
        """Make a strategy of training known; the order in which they are added is the one they are listed in."""
        self._add("training strategy", name, path)

    def add_engine(self, name: str, path: str, limits: str | None = None) -> None:
        """Make an engine known.

        Args:
            name: what it is called.
            path: import path, resolved on the ranks.
            limits: import path of its :class:`~pytest_gpt_dist.inference.engines.capabilities.Limits`, resolved
                before any rank starts, in a process that must not import torch; None for an engine that can do all.
        """
        self._add("engine", name, path)
        if limits is not None:
            self._add("limits", name, limits)

    def add_model(self, name: str, path: str) -> None:
        """Make a model known."""
        self._add("model", name, path)

    def add_mode(self, name: str, path: str, result_format: str) -> None:
        """Make known something else that can be measured.

        Args:
            name: what it is called, and what its results carry.
            path: import path of what makes it, resolved when the session first runs or collects a case of it, in a
                process that must not import torch.
            result_format: import path of its :class:`~pytest_gpt_dist.results.result_format.ResultFormat`, by which
                tables, reports and verdicts read its results.
        """
        self._add("mode", name, path)
        self._add("format", name, result_format)
        add_format(name, result_format)

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, in the order in which they were added."""
        return tuple(self._paths["strategy"])

    @property
    def training_strategies(self) -> tuple[str, ...]:
        """Names of the strategies of training, in the order in which they were added."""
        return tuple(self._paths["training strategy"])

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines, in the order in which they were added."""
        return tuple(self._paths["engine"])

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order in which they were added."""
        return tuple(self._paths["model"])

    def strategy(self, name: str) -> "Strategy":
        """Return the strategy of that name.

        Raises:
            UsageError: when there is none, or its import path leads nowhere.
        """
        strategy: Strategy = self._made("strategy", name)
        return strategy

    def training_strategy(self, name: str) -> Any:
        """Return the strategy of training of that name.

        Raises:
            UsageError: when there is none, or its import path leads nowhere.
        """
        return self._made("training strategy", name)

    def engine_path(self, name: str) -> str:
        """Return the import path of an engine, which is what travels to the ranks.

        Raises:
            UsageError: when there is no engine of that name.
        """
        return self._path("engine", name)

    def engine_limits(self, name: str) -> Any:
        """Return the capabilities that the engine of that name was registered with, None if nothing is beyond it.

        Raises:
            UsageError: when there is no such engine, or the import path of its limits leads nowhere.
        """
        self._path("engine", name)
        if name not in self._paths["limits"]:
            return None
        return load(self._path("limits", name), what=f"limits of engine {quoted(name)}")

    def engine(self, name: str) -> Any:
        """Return what makes the engine of that name; called on a rank, because it imports the engine.

        Raises:
            UsageError: when there is none, or its import path leads nowhere.
        """
        return load(self._path("engine", name), what=f"engine {quoted(name)}")

    def model(self, name: str) -> Any:
        """Return the model of that name.

        Raises:
            UsageError: when there is none, or its import path leads nowhere.
        """
        return load(self._path("model", name), what=f"model {quoted(name)}")

    def mode(self, name: str) -> Any:
        """Return what makes the mode of that name.

        Raises:
            UsageError: when there is none, or its import path leads nowhere.
        """
        return load(self._path("mode", name), what=f"mode {quoted(name)}")

    def _made(self, kind: str, name: str) -> Any:
        make = load(self._path(kind, name), what=f"{kind} {quoted(name)}")
        try:
            return make()
        except Exception as error:  # whatever is registered, and whatever it does
            raise UsageError(f"{kind} {quoted(name)}: cannot be made: {first_line(error)}") from error

    def _add(self, kind: str, name: str, path: str) -> None:
        if not isinstance(name, str) or not isinstance(path, str):
            raise UsageError(
                f"{kind} {quoted(name)}: a name and an import path are texts, got {quoted(path)}"
            )
        module, colon, attribute = path.partition(":")
        if not (module and colon and attribute):
            raise UsageError(
                f"{kind} {quoted(name)}: {quoted(path)} is not of the form package.module:attribute"
            )
        if self._paths[kind].setdefault(name, path) != path:
            raise UsageError(f"{kind} {quoted(name)}: already registered as {self._paths[kind][name]}")

    def _path(self, kind: str, name: str) -> str:
        try:
            return self._paths[kind][name]
        except KeyError:
            raise unknown(kind, name, self._paths[kind]) from None


def load(path: str, *, what: str) -> Any:
    """Import what ``package.module:attribute`` names.

    Args:
        path: the import path.
        what: what it is to be, for the message.

    Raises:
        UsageError: when the module cannot be imported or lacks the attribute.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a module does when it is imported
        raise UsageError(f"{what}: cannot load {path}: {first_line(error)}") from error


def builtin(registry: Registry) -> None:
    """Register what the package comes with, in the same way as anybody else would."""
    inference = "pytest_gpt_dist.inference"
    registry.add_mode(DEFAULT_MODE, f"{inference}.mode:InferenceMode", f"{inference}.result_format:INFERENCE")
    training = "pytest_gpt_dist.training"
    registry.add_mode("training", f"{training}.mode:TrainingMode", f"{training}.result_format:TRAINING")
    collectives = "pytest_gpt_dist.collectives"
    registry.add_mode(
        "collectives", f"{collectives}.mode:CollectiveMode", f"{collectives}.result_format:COLLECTIVES"
    )
    for name, attribute in (
        ("ddp", "strategies:Ddp"),
        ("zero1", "strategies:Zero1"),
        ("zero2", "strategies:Zero2"),
        ("zero3", "strategies:Zero3"),
        ("hsdp", "strategies:Hsdp"),
        ("tensor_data_hybrid", "model_parallel_strategies:TensorDataHybrid"),
        ("pipeline_gpipe", "model_parallel_strategies:PipelineGPipe"),
        ("pipeline_1f1b", "model_parallel_strategies:Pipeline1F1B"),
        ("pipeline_interleaved", "model_parallel_strategies:PipelineInterleaved"),
        ("pipeline_zbv", "model_parallel_strategies:PipelineZBV"),
        ("full_model_parallel", "model_parallel_strategies:FullModelParallel"),
    ):
        registry.add_training_strategy(name, f"{training}.{attribute}")
    for name, attribute in (
        ("pure_data_parallel", "PureDataParallel"),
        ("tensor_data_hybrid", "TensorDataHybrid"),
        ("pipeline_data_hybrid", "PipelineDataHybrid"),
        ("full_model_parallel", "FullModelParallel"),
    ):
        registry.add_strategy(name, f"pytest_gpt_dist.parallel.strategy:{attribute}")
    engines = "pytest_gpt_dist.inference.engines"
    registry.add_engine("native", f"{engines}.native:NativeEngine")
    registry.add_engine("native-eager", f"{engines}.native:EagerNativeEngine")
    registry.add_engine(
        "native-compiled", f"{engines}.native:CompiledNativeEngine", f"{engines}.capabilities:COMPILED_NATIVE"
    )
    registry.add_engine(
        "transformers", f"{engines}.transformers:TransformersEngine", f"{engines}.capabilities:TRANSFORMERS"
    )
    registry.add_engine(
        "transformers-eager",
        f"{engines}.transformers:EagerTransformersEngine",
        f"{engines}.capabilities:TRANSFORMERS_EAGER",
    )
    registry.add_engine(
        "ctranslate2", f"{engines}.ctranslate2:CTranslate2Engine", f"{engines}.capabilities:CTRANSLATE2"
    )
    registry.add_engine(
        "llama_cpp", f"{engines}.llama_cpp:LlamaCppEngine", f"{engines}.capabilities:LLAMA_CPP"
    )
    for name in (
        "gpt2-mini",
        "gpt2",
        "gpt2-medium",
        "gpt2-large",
        "gpt2-xl",
        "smollm2-135m",
        "smollm2-360m",
        "tinyllama-1.1b",
        "llama-3.2-1b",
        "llama-3.2-3b",
        "llama-2-7b",
        "llama-3.1-8b",
        "llama-3.1-70b",
        "qwen3-tiny",
        "qwen3-small",
        "qwen3-medium",
        "qwen3-large",
        "qwen3-0.6b",
        "qwen3-1.7b",
        "qwen3-4b",
        "qwen3-8b",
        "qwen3-14b",
        "qwen3-32b",
    ):
        constant = name.upper().replace("-", "_").replace(".", "_")
        registry.add_model(name, f"pytest_gpt_dist.model.presets:{constant}")
