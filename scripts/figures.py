"""What the scripts keep of a case: its rounds, and how near they came to which limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pytest_gpt_dist.measure.time_lost import MEASURED
from pytest_gpt_dist.parallel import Layout


@dataclass(frozen=True)
class Figures:
    """A measured case. ``docs/metrics.md`` defines what these figures are made from.

    Attributes:
        engine: its name.
        layout: its layout's id, such as ``dp2pp1tp1``.
        oversubscribed: its ranks have to share cores.
        generated_tokens: of a round, by the whole world.
        warmup_rounds: of each launch, not among ``rounds_s``.
        rounds_s: seconds of each timed round, launch by launch.
        prefill_s: seconds a round until every request has its first token.
        decode_s: seconds a round from there on; 0 where one token is all.
        mfu: operations of the prefill ÷ ``prefill_s`` ÷ ``flops_per_s``.
        mbu: bytes that decoding had to read ÷ ``decode_s`` ÷ ``read_bytes_per_s``.
        flops_per_s: what all ranks together can multiply and add.
        read_bytes_per_s: what all ranks together can read.
        collectives_per_step: all-reduces and all-gathers of a rank in a decode step, of the rank with the most;
            None for a library that communicates by itself.
        hops_per_step: sends and receives, likewise.
        marks: what makes the figures doubtful.
        communication: share of the rounds in collectives, from when their last rank has come; None where not known.
        bubble: likewise in sends and waiting for another stage.
        imbalance: likewise waiting for the slowest rank.
    """

    engine: str
    layout: str
    oversubscribed: bool
    generated_tokens: int
    warmup_rounds: int
    rounds_s: tuple[tuple[float, ...], ...]
    prefill_s: float
    decode_s: float
    mfu: float | None
    mbu: float | None
    flops_per_s: float | None
    read_bytes_per_s: float | None
    collectives_per_step: int | None
    hops_per_step: int | None
    marks: tuple[str, ...]
    communication: float | None = None
    bubble: float | None = None
    imbalance: float | None = None

    @classmethod
    def of(cls, info: dict[str, Any]) -> Figures:
        """From the ``extra_info`` of a case."""
        requests = info["requests"]
        generated = _in_all(info["new_tokens"], requests)
        prompts = _in_all(info["prompt_tokens"], requests)
        decoded_per_s, limits, traffic = (
            info["decode_tokens_per_s"],
            info["limits"],
            info["collectives_per_step"],
        )
        return cls(
            engine=info["engine"],
            layout=Layout(**info["layout"]).id,
            oversubscribed=info["oversubscribed"],
            generated_tokens=generated,
            warmup_rounds=info["warmup"],
            rounds_s=tuple(tuple(sample * generated for sample in samples) for samples in info["launches"]),
            prefill_s=prompts / info["prefill_tokens_per_s"],
            decode_s=(generated - requests) / decoded_per_s if decoded_per_s else 0.0,
            mfu=info["mfu"],
            mbu=info["mbu"],
            flops_per_s=_together(limits["flops_per_s"]),
            read_bytes_per_s=_together(limits["read_bytes_per_s"]),
            collectives_per_step=_most(traffic, "all_reduce", "all_gather"),
            hops_per_step=_most(traffic, "send", "recv"),
            marks=tuple(info["marks"]),
            **{kind: info["time_lost"][kind] for kind in MEASURED},
        )

    @classmethod
    def read(cls, saved: dict[str, Any]) -> Figures:
        """From a file of results."""
        rounds_s = tuple(tuple(launch) for launch in saved["rounds_s"])
        return cls(**saved | {"rounds_s": rounds_s, "marks": tuple(saved["marks"])})

    @property
    def round_s(self) -> float:
        """Seconds of a round, the mean of all launches' rounds."""
        return fmean(seconds for launch in self.rounds_s for seconds in launch)

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of the whole world, as the plugin counts them."""
        return self.generated_tokens / self.round_s

    @property
    def remarks(self) -> tuple[str, ...]:
        """Its marks, and that its ranks have to share cores."""
        return ("oversubscribed", *self.marks) if self.oversubscribed else self.marks

    @property
    def launches_tokens_per_s(self) -> tuple[float, ...]:
        """Tokens per second of each launch."""
        return tuple(self.generated_tokens / fmean(launch) for launch in self.rounds_s)


def _in_all(tokens: int | list[int], requests: int) -> int:
    return tokens * requests if isinstance(tokens, int) else sum(tokens)


def _together(limits: Sequence[float | None]) -> float | None:
    known = [limit for limit in limits if limit is not None]
    return sum(known) if known and len(known) == len(limits) else None


def _most(traffic: dict[str, Sequence[int]] | None, *kinds: str) -> int | None:
    if traffic is None:
        return None
    return max(map(sum, zip(*(traffic[kind] for kind in kinds), strict=True)))
