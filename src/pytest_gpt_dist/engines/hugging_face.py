"""transformers' own implementation of a model, with the weights that every other engine has."""

from collections.abc import Callable
from typing import cast

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel

from pytest_gpt_dist.engines.protocol import ModelSource
from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.model.weights import RandomWeights
from pytest_gpt_dist.topology import Span


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
    if source.folder is None:
        model = _from_seed(source, report)
    else:
        model = AutoModelForCausalLM.from_pretrained(
            source.folder, dtype=torch_dtype(source.dtype), local_files_only=True
        )
    model.train(False)
    return model


def _from_seed(source: ModelSource, report: Callable[[int, int], None] | None) -> PreTrainedModel:
    dtype = torch_dtype(source.dtype)
    config = AutoConfig.for_model(**source.config.to_hf())
    weights = RandomWeights(source.config, source.seed, torch.device("cpu"))
    tensors = {}
    specs = checkpoint_tensors(source.config)
    for done, (name, spec) in enumerate(specs.items()):
        if report is not None:
            report(done, len(specs))
        columns = Span(0, spec.shape[1]) if len(spec.shape) > 1 else None
        tensors[name] = weights.read(name, Span(0, spec.shape[0]), columns).to(dtype)
    implementation = cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    return implementation.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype)
