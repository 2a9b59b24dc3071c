"""The words of a report that need a definition; ``docs/metrics.md`` has the formulas."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.results.result_format import ResultFormat

Words = tuple[tuple[str, str], ...]
"""Word and meaning."""

_SCALING: Words = (
    ("world", "all devices of a case together; throughput is theirs, unless it says that it is a device's"),
    ("speed-up", "throughput ÷ that of the reference, the same engine and workload on one device"),
    ("efficiency", "speed-up ÷ devices: 100% is a linear speed-up"),
    (
        "weak, strong",
        "the batch is for each device (weak), so more devices have more to do, or for the whole world (strong)",
    ),
    (
        "launch",
        "one life of the ranks' processes, with all the rounds in it; several show what a repetition may give",
    ),
)
_FURTHER: Words = (
    (
        "dp·pp·tp",
        "how devices are divided: replicas of the model · stages of its layers · parts of each layer",
    ),
    (
        "= strategy",
        "the case has the same layout as that strategy on so many devices: it is that case under a second name",
    ),
    (
        "time, detectable",
        "of a verdict: the change of the time, +5% is slower, with its interval; the smallest slowdown that would"
        " have been called a regression",
    ),
    ("communication", "time that collectives between ranks take, once the last of their ranks has come"),
    ("bubble", "time in sends between the stages of a pipeline, and in waiting for another stage"),
    ("imbalance", "time in which ranks wait for the slowest: in collectives, and at the end of a round"),
    ("other", "what is left of the ranks' time beside efficiency, communication, bubble and imbalance"),
    ("oversubscribed", "more ranks × threads than cores on the CPU: a speed-up, but no efficiency"),
    (
        "throttled, shared device, swapped",
        "the clocks were held down, something else computed there, or memory went to disk: such times do not compare",
    ),
)


def glossary(formats: Sequence[ResultFormat]) -> Words:
    """Return the words of reports on these modes: those of all modes, and of each its own and its metrics'."""
    of_modes = dict(pair for form in formats for pair in (*form.words, *_metrics(form), *_exact(form)))
    return (*_SCALING, *of_modes.items(), *_FURTHER)


def _metrics(form: ResultFormat) -> Words:
    return tuple((metric.label, metric.meaning) for metric in form.further)


def _exact(form: ResultFormat) -> Words:
    if not form.error:
        return (("exact", "whether the result is that of the reference"),)
    return (
        (
            "exact",
            f"whether the result is that of one device in float32, and by how much its {form.error_of} differ at most,"
            " relative to the largest",
        ),
    )
