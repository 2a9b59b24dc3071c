"""What must agree before two numbers may be compared: the machine and the workload."""

from __future__ import annotations

from typing import Any

from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.measure.fingerprint import machine_entries

FINGERPRINT_SCHEMA = 1
"""Of the entries below, apart from that of results: renaming a figure makes no earlier baseline another machine's."""


def fingerprint(case: Case, machine: Machine) -> dict[str, Any]:
    """Everything besides the code under test that changes a case's numbers, as it is saved."""
    workload = case.workload
    # Baselines saved before there was another way of batching have no entries of it.
    in_order = workload.batching == "in-order"
    batching = {} if in_order else {"batching": workload.batching, "token_budget": workload.token_budget}
    return {
        "schema": FINGERPRINT_SCHEMA,
        **machine_entries(machine, case.gpus),
        "engine": case.engine,
        "engine_version": case.engine_version,
        "layout": case.layout.id,
        "model": case.model_identity,
        "weights": case.weights,
        "dtype": workload.dtype,
        "tokenizer": case.model_identity if case.tokenizer == case.model_name else case.tokenizer,
        "scaling": workload.scaling,
        "batch_size": workload.batch_size,
        **batching,
        "microbatches": workload.microbatches,
        "requests": len(case.requests),
        "prompt_tokens": case.prompt_tokens,
        "prompts_sha256": case.prompts_sha256,
        "new_tokens": case.new_tokens,
        "sampling": case.sampling,
        "seed": workload.seed,
    }
