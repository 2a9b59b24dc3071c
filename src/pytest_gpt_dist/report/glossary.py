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
    ("oversubscribed", "more ranks × threads than cores on the CPU: a speed-up, but no efficiency"),
)
"""Word and meaning."""
