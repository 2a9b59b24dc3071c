"""The metrics of collectives, each in one entry, and the words that reports have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gpt_dist.collectives.bandwidth import written_size
from pytest_gpt_dist.results.checked import count, name
from pytest_gpt_dist.results.metrics import OUTCOME, RESOURCES, SCALING, WHAT_RAN, Gate, Metric
from pytest_gpt_dist.results.result_format import ResultFormat, Workload

_GB = 1e-9

_WORKLOAD = (
    Metric(
        name="collective",
        meaning="all_reduce, all_gather, reduce_scatter, broadcast, all_to_all, or send_recv to the next rank",
        value=lambda run: run.case.collective.kind,
    ),
    Metric(
        name="bytes",
        unit="bytes",
        meaning="size of the collective as nccl-tests counts it: of the rank's largest buffer",
        value=lambda run: run.case.collective.bytes,
    ),
    Metric(name="dtype", meaning="number format of the elements", value=lambda run: run.case.dtype),
    Metric(
        name="operations",
        unit="operations",
        meaning="of a round, one after the other, so that it is long enough to be timed",
        value=lambda run: run.operations,
    ),
)
_SPEED = (
    Metric(
        name="algorithm_bytes_per_s",
        unit="bytes/s",
        kind="figure",
        better="higher",
        meaning="algorithm bandwidth: size ÷ time of an operation; pytest-benchmark's OPS",
    ),
    Metric(
        name="algorithm_bytes_per_s_per_gpu",
        unit="bytes/s",
        kind="figure",
        better="higher",
        meaning="the same ÷ number of devices",
    ),
    Metric(
        name="bus_bytes_per_s",
        unit="bytes/s",
        kind="figure",
        better="higher",
        label="bus GB/s",
        scale=_GB,
        form="{:,.3f}",
        summary=True,
        meaning="bus bandwidth: the algorithm's times 2·(n-1)/n of an all-reduce, (n-1)/n of all-gather,"
        " reduce-scatter and all-to-all, 1 of broadcast and send_recv; what the hardware's links are held against",
        value=lambda run: run.bus_bytes_per_s,
    ),
    Metric(
        name="operation_s",
        unit="s",
        kind="latency",
        better="lower",
        label="operation",
        scale=1e3,
        form="{:,.3f}",
        summary=True,
        gate=Gate(option="operation", key="operation_p95_s", label="operation p95", statistic="p95"),
        meaning="one operation on its slowest rank, the mean of those of a round; mean, p50, p95 and p99 over rounds",
        value=lambda run: None if run.latency_s is None else run.latency_s.as_dict(),
    ),
    Metric(
        name="overlap",
        unit="share",
        kind="figure",
        better="higher",
        label="overlap",
        form="{:.0%}",
        summary=True,
        meaning="of operation and products that take about as long, the share of the shorter that is hidden when both"
        " run together, of the rank that hides least",
        value=lambda run: run.overlap,
    ),
)


def _workload(info: Mapping[str, Any]) -> Workload:
    """Return what was communicated, as a heading and a spreadsheet have it."""
    kind, dtype, size = name(info["collective"]), name(info["dtype"]), count(info["bytes"])
    return Workload(
        words=(dtype,),
        columns=(("collective", kind), ("bytes", size), ("size", written_size(size)), ("dtype", dtype)),
    )


COLLECTIVES = ResultFormat(
    mode="collectives",
    title="Performance of collectives",
    unit="seconds per byte",
    works="bytes",
    throughput="algorithm_bytes_per_s",
    throughput_per_gpu="algorithm_bytes_per_s_per_gpu",
    time="seconds_per_byte",
    metrics=(*WHAT_RAN, *_WORKLOAD, *_SPEED, *SCALING, *RESOURCES, *OUTCOME),
    varies=("collective", "bytes"),
    workload=_workload,
    distributions=("operation_s",),
    words=(
        ("algorithm bandwidth", "size of a collective ÷ the time that it takes"),
        ("bus bandwidth", "algorithm bandwidth, times what each rank has to send ÷ the size"),
    ),
)
"""How a collective's results are named, read and shown."""
