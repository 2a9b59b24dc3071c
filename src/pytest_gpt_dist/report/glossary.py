"""The words of a report that need a definition; ``docs/metrics.md`` has the formulas."""

from __future__ import annotations

GLOSSARY = (
    (
        "of limit",
        "what decoding read from memory ÷ what the devices can read in the same time: 100% is the limit",
    ),
    ("TTFT", "time to first token: from the start of a request's batch to its first token"),
    ("TPOT", "time per output token: (end to end − TTFT) ÷ (tokens − 1), of each request"),
    ("ITL", "inter-token latency: every single gap between two tokens, of all requests"),
    (
        "dp·pp·tp",
        "how devices are divided: replicas of the model · stages of its layers · parts of each layer",
    ),
    ("communication", "time that collectives between ranks take, once the last of their ranks has come"),
    ("bubble", "time in sends between the stages of a pipeline, and in waiting for another stage"),
    ("imbalance", "time in which ranks wait for the slowest: in collectives, and at the end of a round"),
    ("other", "what is left of the ranks' time beside efficiency, communication, bubble and imbalance"),
    ("oversubscribed", "more ranks × threads than cores on the CPU: a speed-up, but no efficiency"),
)
"""Word and meaning."""
