"""transformers' own implementation of a model, whole or divided, with the weights that every other engine has."""

from collections.abc import Callable, Iterator
from threading import Lock
from types import EllipsisType
from typing import Any, cast

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PreTrainedModel
from transformers.distributed.configuration_utils import DistributedConfig

from pytest_gpt_dist.inference.engines.protocol import ModelSource
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.model.loading import fill
from pytest_gpt_dist.model.sharding import Piece
from pytest_gpt_dist.model.tensors import TensorSpec, checkpoint_tensors
from pytest_gpt_dist.model.weights import RandomWeights, Weights
from pytest_gpt_dist.parallel import Span
from pytest_gpt_dist.parallel.process_groups import make_subgroups


def load_whole_model(
    source: ModelSource, report: Callable[[int, int], None] | None = None
) -> PreTrainedModel:
    """Return the model on the CPU, in the source's dtype, ready to infer.

    A checkpoint is loaded by transformers itself; random weights are handed over under the names and in the
    shapes of its checkpoints.

    Args:
        source: which model.
        report: told now and then how many tensors of how many exist.
    """
    config = _config(source)
    return _load(source, config, _implementation(config), report)


def load_divided_model(
    source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
) -> PreTrainedModel:
    """Return a model of which this rank holds what transformers' own plan leaves it; nothing else is read.

    Its ranks are those that the mesh divides layers over, each with its share on its device, and what is not
    divided on the CPU.

    Args:
        source: which model.
        mesh: this rank's place.
        report: told now and then how many tensors of how many exist.
    """
    group = make_subgroups(mesh.layout.tensor_groups, "tensor")
    assert group is not None
    ranks = DeviceMesh.from_group(group, mesh.device.type, mesh_dim_names=("tp",))
    config, how = _config(source), DistributedConfig(tp_size=mesh.layout.tp)
    implementation = _on_ranks(_implementation(config), ranks)
    model = _load(source, config, implementation, report, distributed_config=how)
    _let_go_of_the_rest(model)
    return model


def held_parameters(model: PreTrainedModel) -> Iterator[torch.Tensor]:
    """Yield what this rank holds of each parameter."""
    for parameter in model.parameters():
        yield parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _config(source: ModelSource) -> Any:
    if source.folder is None:
        return AutoConfig.for_model(**source.config.to_hf())
    return AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)


def _implementation(config: Any) -> type[PreTrainedModel]:
    return cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])


def _load(
    source: ModelSource,
    config: Any,
    implementation: type[PreTrainedModel],
    report: Callable[[int, int], None] | None,
    **how: Any,
) -> PreTrainedModel:
    tensors = _random_tensors(source, report) if source.folder is None else None
    model = implementation.from_pretrained(
        source.folder,
        config=config,
        state_dict=tensors,
        dtype=torch_dtype(source.dtype),
        local_files_only=True,
        use_safetensors=None if source.folder is None else True,  # the other format is pickled
        **how,
    )
    model.train(False)
    return model


def _let_go_of_the_rest(model: PreTrainedModel) -> None:
    """Copy slices that are views of whole tensors, as transformers leaves those of a mapped file."""
    for parameter in model.parameters():
        if not isinstance(parameter, DTensor):
            continue
        held = parameter._local_tensor
        if held.untyped_storage().nbytes() > held.nbytes:
            held.data = held.detach().clone()


def _on_ranks(implementation: type[PreTrainedModel], ranks: DeviceMesh) -> type[PreTrainedModel]:
    """Return the same class, but divided over given ranks.

    Its own way makes new groups, with waits of its own, for every model, of all ranks of the world, and wants
    torchrun's environment and the accelerator that torch was built for.
    """

    def prepare(
        cls: type, distributed_config: DistributedConfig, device_map: None = None
    ) -> tuple[DistributedConfig, None, _Ranks]:
        return distributed_config, device_map, _Ranks(ranks)

    # transformers looks into the source of a class's module for what the class can do.
    own = {"prepare_distribute_model": classmethod(prepare), "__module__": implementation.__module__}
    return type(implementation.__name__, (implementation,), own)


class _Ranks:
    """What transformers asks for its meshes by their dimensions; there is one."""

    def __init__(self, mesh: DeviceMesh) -> None:
        self._mesh = mesh

    def get_mesh(self, dims: str | tuple[str, ...]) -> DeviceMesh:
        return self._mesh


def _random_tensors(
    source: ModelSource, report: Callable[[int, int], None] | None
) -> "dict[str, _RandomTensor]":
    specs = checkpoint_tensors(source.config)
    weights = RandomWeights(source.config, source.seed, torch.device("cpu"))
    count = _Count(len(specs), report)
    dtype = torch_dtype(source.dtype)
    return {name: _RandomTensor(weights, spec, dtype, count) for name, spec in specs.items()}


class _RandomTensor:
    """A random tensor as transformers takes it from a file: made when it is sliced, and nothing but the slice."""

    def __init__(self, weights: Weights, spec: TensorSpec, dtype: torch.dtype, count: "_Count") -> None:
        self._weights = weights
        self._spec = spec
        self._dtype = dtype
        self._count = count

    def get_shape(self) -> list[int]:
        return list(self._spec.shape)

    def __getitem__(self, index: EllipsisType | tuple[slice, ...]) -> torch.Tensor:
        slices = (slice(None),) * len(self._spec.shape) if index is ... else index
        rows, *columns = (
            Span(*part.indices(size)[:2]) for part, size in zip(slices, self._spec.shape, strict=True)
        )
        values = torch.empty([len(rows), *map(len, columns)], dtype=self._dtype)
        fill(values, Piece(self._spec.name, rows, columns[0] if columns else None), self._weights)
        self._count.up()
        return values


class _Count:
    """Reports how many tensors there are; transformers takes several at once, in threads."""

    def __init__(self, total: int, report: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._report = report
        self._done = 0
        self._lock = Lock()

    def up(self) -> None:
        with self._lock:
            self._done += 1
            if self._report is not None:
                self._report(self._done, self._total)
