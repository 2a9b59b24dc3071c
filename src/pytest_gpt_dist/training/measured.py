"""What a training came to before it is written down: the values from which every saved entry is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.measure.envelope import is_brief
from pytest_gpt_dist.measure.result import Launch
from pytest_gpt_dist.measure.statistics import LatencySummary, summarize
from pytest_gpt_dist.measure.time_lost import Overheads, time_lost
from pytest_gpt_dist.parallel.training_traffic import expected_traffic
from pytest_gpt_dist.telemetry.summary import Telemetry
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.flops import StepFlops, step_flops
from pytest_gpt_dist.training.messages import TimedStep, TrainingReport
from pytest_gpt_dist.training.pipeline_stages import SCHEDULES
from pytest_gpt_dist.training.shapes import state_shapes
from pytest_gpt_dist.training.step_times import step_overheads

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "send", "recv")


@dataclass(frozen=True)
class StepRound:
    """A timed step of the whole world: its slowest rank, each rank's own seconds, and its label tokens."""

    seconds: float
    by_rank: tuple[float, ...]
    labels: int
    overheads: Overheads | None = None
    optimizer_s: float | None = None
    loading_s: float | None = None

    @classmethod
    def of(cls, ranks: Sequence[TimedStep]) -> StepRound:
        """Return the round that the ranks' steps are."""
        seconds = tuple(each.seconds for each in ranks)
        times = [each.times for each in ranks]
        known = [each for each in times if each is not None]
        return cls(
            max(seconds),
            seconds,
            ranks[0].labels,
            step_overheads(seconds, times),
            mean(each.optimizer_s for each in known) if known else None,
            mean(each.loading_s for each in known) if known else None,
        )


@dataclass(frozen=True)
class Measured:
    """A case, its launches, and what was seen of the machine; ``limits`` are () where nothing was timed."""

    case: TrainingCase
    machine: Machine
    launches: Sequence[Launch]
    limits: Sequence[DeviceLimits]
    telemetry: Telemetry | None
    certificate_error: float | None = None
    price: float | None = None
    tokens: int | None = None

    @property
    def rounds(self) -> list[StepRound]:
        """Return the timed steps of all launches."""
        return [round for launch in self.launches for round in launch.rounds]

    @property
    def reports(self) -> Sequence[TrainingReport]:
        """Return what the ranks of the last launch found."""
        return self.launches[-1].reports

    @cached_property
    def step_s(self) -> LatencySummary | None:
        """Return seconds of a step, as long as its slowest rank; None where nothing was timed."""
        return summarize([round.seconds for round in self.rounds]) if self.rounds else None

    @property
    def step_s_by_rank(self) -> list[dict[str, float]] | None:
        """Return each rank's own seconds of a step."""
        if not self.rounds:
            return None
        by_rank = zip(*(round.by_rank for round in self.rounds), strict=True)
        return [summarize(seconds).as_dict() for seconds in by_rank]

    @property
    def samples_per_s(self) -> float | None:
        """Return rows trained in a second by the whole world."""
        return None if self.step_s is None else self.case.batches.rows / self.step_s.mean

    @cached_property
    def flops(self) -> StepFlops:
        """Return the operations of a step."""
        case = self.case
        size, every = case.work.model.config.dimensions, case.work.checkpointing
        again = len(range(0, size.layers, every)) if every else 0
        return step_flops(size, case.row_lengths, case.work.samples.width, again)

    def share_of_peak(self, flops: int) -> float | None:
        """Return operations of a step ÷ its time ÷ what all ranks can compute; None where that was not measured."""
        known = [each.flops_per_s for each in self.limits if each.flops_per_s is not None]
        if self.step_s is None or not known or len(known) < len(self.limits):
            return None
        return flops / self.step_s.mean / sum(known)

    @property
    def memory_bytes(self) -> list[dict[str, int | None]]:
        """Return by rank what is held of each kind, and the rest of the peak of steps after the checks."""
        return [_memory(report) for report in self.reports]

    @property
    def collectives_per_step(self) -> Mapping[str, list[int]]:
        """Return what each rank takes part in, by kind."""
        return self._traffic("calls")

    @property
    def bytes_communicated(self) -> Mapping[str, list[int]]:
        """Return the bytes of the buffers of a step's collectives, by kind and rank."""
        return self._traffic("bytes")

    @property
    def energy_j_per_token(self) -> float | None:
        """Return joules of the time of the rounds ÷ label tokens trained on in it; None where they were brief."""
        if self.telemetry is None or self.telemetry.energy_j is None or is_brief(self.launches):
            return None
        return self.telemetry.energy_j / sum(round.labels for round in self.rounds)

    def worst(self, name: str) -> float | None:
        """Return the largest error of that name of all ranks and launches; None where there was no reference."""
        found = [getattr(report, name) for launch in self.launches for report in launch.reports]
        return max((each for each in found if each is not None), default=None)

    @property
    def time_lost(self) -> dict[str, float | None]:
        """Return the shares of the rounds that went to what is no forward or backward pass, by kind.

        The bubble of a schedule is what it would be if all stages took as long and sending took no time.
        """
        rounds = self.rounds
        shares = time_lost([round.seconds for round in rounds], [round.overheads for round in rounds])
        layout, schedule = self.case.layout, SCHEDULES.get(self.case.plan.schedule)
        turns = self.case.batches.accumulation
        return shares | {
            "optimizer": self._share("optimizer_s"),
            "data_loading": self._share("loading_s"),
            "schedule_bubble": None if schedule is None else schedule.bubble(layout.pp, turns),
        }

    @property
    def compression_ratio(self) -> float | None:
        """Return the bytes that whole gradients would have ÷ those that were sent; None where nothing is compressed."""
        case, counted = self.case, self.reports[0].traffic
        if case.is_exact or counted is None or not counted.total_bytes:
            return None
        shapes = state_shapes(case.work.model.config, case.dtype, case.work.recipe, case.work.tuning)
        whole = expected_traffic(shapes, case.plan, case.batches.accumulation)
        return None if whole is None else whole.traffic.total_bytes / counted.total_bytes

    @property
    def train_s(self) -> float | None:
        """Return seconds of a training of as many tokens as were asked for."""
        if self.tokens is None or self.step_s is None:
            return None
        return self.tokens * self.step_s.mean / self.case.label_tokens

    @property
    def train_cost(self) -> float | None:
        """Return the price of all devices for that time."""
        if self.price is None or self.train_s is None:
            return None
        return self.price * self.case.gpus * self.train_s / 3600

    @property
    def unproven(self) -> list[str]:
        """Return what could not be compared with what it should be: gradients, state, traffic."""
        missing = {what for report in self.reports for what in report.unproven}
        gradients = [] if self.worst("gradient_error") is not None else ["gradients"]
        return [*gradients, *sorted(missing)]

    def _share(self, name: str) -> float | None:
        """Return a part's seconds of all rounds ÷ those of the rounds."""
        found = [getattr(round, name) for round in self.rounds]
        if not found or None in found:
            return None
        return float(sum(found) / sum(round.seconds for round in self.rounds))

    @property
    def imbalance(self) -> float | None:
        """Return which share of a step the ranks wait for the slowest one, on the mean."""
        if self.step_s is None:
            return None
        waits = [mean(round.seconds - own for own in round.by_rank) / round.seconds for round in self.rounds]
        return mean(waits)

    def _traffic(self, what: str) -> Mapping[str, list[int]]:
        by_rank: list[Mapping[str, int]] = [
            {} if report.traffic is None else getattr(report.traffic, what) for report in self.reports
        ]
        kinds = [kind for kind in KINDS if any(kind in each for each in by_rank)]
        others = sorted({kind for each in by_rank for kind in each} - {*KINDS})
        return {kind: [each.get(kind, 0) for each in by_rank] for kind in (*kinds, *others)}


def _memory(report: TrainingReport) -> dict[str, Any]:
    held, peak = report.held, report.peak_memory_bytes
    kinds = {
        kind: None if held is None else getattr(held, kind)
        for kind in ("parameters", "gradients", "optimizer")
    }
    known = [size for size in kinds.values() if size is not None]
    rest = None if peak is None or held is None else max(0, peak - sum(known))
    return kinds | {"gathered": report.gathered, "rest": rest, "peak": peak}
