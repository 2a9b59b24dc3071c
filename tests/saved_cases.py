"""What a session saves of a case, for the tests of reports."""

from datetime import UTC, datetime
from typing import Any

from pytest_gpt_dist.inference.result_format import INFERENCE
from pytest_gpt_dist.results.metrics import SCHEMA
from pytest_gpt_dist.results.saved import SavedCase

MADE_AT = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
LATENCY = {"mean": 0.4, "p50": 0.39, "p95": 0.45, "p99": 0.47}
LOST = ("communication", "bubble", "imbalance", "host", "other")
FINGERPRINT: dict[str, Any] = {
    "schema": 1,
    "cpu": "Test CPU",
    "cores": 8,
    "driver": None,
    "torch": "2.13.0",
    "python": "3.11.7",
    "dtype": "float32",
    "layout": "dp1pp1tp1",
    "requests": 4,
}
INFO: dict[str, Any] = {
    "schema": SCHEMA,
    "mode": INFERENCE.mode,
    "unit": INFERENCE.unit,
    "fingerprint": FINGERPRINT,
    "engine": "native",
    "strategy": "pure_data_parallel",
    "gpus": 1,
    "layout": {"dp": 1, "pp": 1, "tp": 1},
    "degenerate": None,
    "oversubscribed": False,
    "shared_gpu": False,
    "device": "cpu",
    "device_name": "Test CPU",
    "backend": "gloo",
    "model": "gpt2-mini",
    "weights": "random",
    "dtype": "float32",
    "scaling": "weak",
    "batch_size": 4,
    "requests": 4,
    "prompt_tokens": 64,
    "new_tokens": 64,
    "sampling": {"greedy": True, "temperature": None, "top_p": None, "repetition_penalty": 1.0},
    "tokens_per_s": 100.0,
    "tokens_per_s_per_gpu": 100.0,
    "prefill_tokens_per_s": 1000.0,
    "decode_tokens_per_s": 110.0,
    "latency_s": LATENCY,
    "ttft_s": {"mean": 0.03, "p50": 0.03, "p95": 0.035, "p99": 0.04},
    "tpot_s": {"mean": 0.006, "p50": 0.006, "p95": 0.007, "p99": 0.008},
    "itl_s": {"mean": 0.006, "p50": 0.006, "p95": 0.007, "p99": 0.009},
    "speedup": 1.0,
    "efficiency": 1.0,
    "time_lost": dict.fromkeys(LOST),
    "reference": {"engine": "native", "gpus": 1, "tokens_per_s": 100.0, "origin": "case of this session"},
    "mbu": 0.45,
    "mfu": 0.6,
    "gpu_utilization": None,
    "energy_j_per_token": None,
    "peak_memory_bytes": [100 * 2**20],
    "parameter_bytes": [90 * 2**20],
    "collectives_per_step": {"all_reduce": [0], "all_gather": [0], "send": [0], "recv": [0]},
    "matches_reference": True,
    "max_logit_error": 1e-7,
    "marks": [],
    "resumed": False,
    "launches": [[0.01, 0.0101, 0.0099]],
}
ALONE: dict[str, Any] = {
    **dict.fromkeys(("speedup", "efficiency", "reference")),
    "marks": ["no speed-up: fits on no device"],
}
_DIVIDED = {"tensor_data_hybrid": "tp", "full_model_parallel": "tp", "pipeline_data_hybrid": "pp"}
"""The degree that is the number of devices, where it is not the data's."""


def lost(
    communication: float, bubble: float = 0.0, imbalance: float = 0.0, other: float | None = None
) -> dict[str, float | None]:
    """Shares of the ranks' time as a session saves them."""
    return dict(zip(LOST, (communication, bubble, imbalance, None, other), strict=True))


def saved_case(
    gpus: int = 1,
    strategy: str = "pure_data_parallel",
    *,
    speed: float | None = None,
    source: str = "saved.json",
    saved_at: str = "2026-11-01T10:00:00+00:00",
    test: str | None = None,
    verdicts: tuple[dict[str, Any], ...] = (),
    failed: bool = False,
    revision: str = "",
    fingerprint: dict[str, Any] | None = None,
    **changes: Any,
) -> SavedCase:
    """A case of a session; ``speed`` is its throughput, and what follows from it."""
    info = INFO | {
        "fingerprint": FINGERPRINT | (fingerprint or {}),
        "gpus": gpus,
        "strategy": strategy,
        "layout": {"dp": 1, "pp": 1, "tp": 1} | {_DIVIDED.get(strategy, "dp"): gpus},
        "peak_memory_bytes": INFO["peak_memory_bytes"] * gpus,
        "parameter_bytes": INFO["parameter_bytes"] * gpus,
    }
    if speed is not None:
        info |= {
            "tokens_per_s": speed,
            "tokens_per_s_per_gpu": speed / gpus,
            "speedup": speed / 100,
            "efficiency": speed / 100 / gpus,
            "launches": [[1 / speed]],
        }
    name = test or f"bench.py::test_generate[{gpus}gpu-{strategy}]"
    return SavedCase(source, name, saved_at, info | changes, verdicts, failed, revision)
