"""The words of a report that need a definition; ``docs/metrics.md`` has the formulas."""

from __future__ import annotations

GLOSSARY = (
    ("world", "all devices of a case together; tokens/s is theirs, unless it says that it is a device's"),
    ("speed-up", "tokens/s ÷ that of the reference, the same engine and workload on one device"),
    ("efficiency", "speed-up ÷ devices: 100% is a linear speed-up"),
    (
        "weak, strong",
        "the batch is for each device (weak), so more devices have more to do, or for the whole world (strong)",
    ),
    (
        "launch",
        "one life of the ranks' processes, with all the rounds in it; several show what a repetition may give",
    ),
    (
        "of limit",
        "what decoding read from memory ÷ what the devices can read in the same time: 100% is the limit",
    ),
    (
        "prefill of limit",
        "what reading the prompts computed ÷ what the devices can compute in the same time: 100% is the limit",
    ),
    ("TTFT", "time to first token: from the start of a request's batch to its first token"),
    ("TPOT", "time per output token: (end to end − TTFT) ÷ (tokens − 1), of each request"),
    ("ITL", "inter-token latency: every single gap between two tokens, of all requests"),
    (
        "dp·pp·tp",
        "how devices are divided: replicas of the model · stages of its layers · parts of each layer",
    ),
    (
        "= strategy",
        "the case has the same layout as that strategy on so many devices: it is that case under a second name",
    ),
    (
        "exact",
        "whether the result is that of one device in float32, and by how much its logits differ at most,"
        " relative to the largest",
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
"""Word and meaning."""
