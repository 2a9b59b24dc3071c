"""Generation as a mode: what it checks, what its ranks run, and what comes of their reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from pytest_gpt_dist.cluster import Progress, RankGroup
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.inference.batching import prompts_in_parts
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.cases import CaseBuilder
from pytest_gpt_dist.inference.checks import (
    check_counts,
    check_marks,
    check_tokens,
    in_prompt_order,
    world_rounds,
)
from pytest_gpt_dist.inference.exactness.reference_cache import Reference, ReferenceCache
from pytest_gpt_dist.inference.exactness.tolerance import EXACT_TOKENS
from pytest_gpt_dist.inference.measured import Measured
from pytest_gpt_dist.inference.messages import CaseJob, RankReport
from pytest_gpt_dist.inference.metrics import MOST_UNACCOUNTED, seconds_per_token, unaccounted
from pytest_gpt_dist.inference.result import GenerationResult
from pytest_gpt_dist.inference.result_format import INFERENCE
from pytest_gpt_dist.inference.weight_cache_policy import WeightCachePolicy
from pytest_gpt_dist.measure.mode import ModeContext, Status
from pytest_gpt_dist.measure.progress import shown
from pytest_gpt_dist.measure.result import Launch, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.telemetry.summary import Telemetry

_ON_RANKS = "pytest_gpt_dist.inference.worker:run_case"


@dataclass(frozen=True)
class Checked:
    """What a case is checked against: None where no device holds the model; ``compared`` with transformers."""

    reference: Reference | None
    compared: bool


class InferenceMode:
    """Generation of tokens, checked against one device."""

    format = INFERENCE
    preload = ()

    def __init__(self, context: ModeContext) -> None:
        self.cases = CaseBuilder(context)
        self._context = context
        self._machine = context.machine

    @cached_property
    def _weight_cache_policy(self) -> WeightCachePolicy:
        """Made for the first case that runs, when the number of cases is known."""
        context = self._context
        return WeightCachePolicy(
            context.scratch, context.machine.device, cases=context.case_count(), paired=context.paired
        )

    @cached_property
    def _reference_cache(self) -> ReferenceCache:
        return ReferenceCache(self._context.scratch, self._weight_cache_policy)

    def check(self, case: Case, status: Status) -> Checked:
        """Compute the one-device reference of a case's prompts, once a session on one rank."""
        status("starting ranks")
        on_progress: Callable[[int, Progress], None] = shown(status)
        reference = self._reference_cache.get(case.source, case.requests, self._one_rank, on_progress)
        compared = reference is None or self._reference_cache.compare_with_transformers(
            case.source, reference, case.requests[0], self._one_rank, on_progress
        )
        return Checked(reference, compared)

    def _one_rank(self) -> RankGroup:
        return self._context.groups.group(1)

    def job(self, case: Case, checked: Checked, timing: Timing | None) -> tuple[str, CaseJob]:
        """Return what each rank loads, checks, generates and times."""
        reference = checked.reference
        return _ON_RANKS, CaseJob(
            engine=case.engine_path,
            source=self._weight_cache_policy.for_launch(
                case.source, case.layout, timing.launches if timing else 1
            ),
            layout=case.layout,
            batches=prompts_in_parts(case.batches, case.layout, self._machine.device),
            sampling=case.workload.sampling,
            check=reference.check if reference else None,
            timing=timing,
            attention=self._machine.attention,
        )

    def launched(self, case: Case, checked: Checked, reports: Sequence[RankReport]) -> Launch:
        """Return the rounds and tokens that ranks report, once they are found to be what was asked for."""
        problem = next((report.problem for report in reports if report.problem is not None), None)
        if problem is not None:
            raise WrongResultError(problem)
        if case.dtype in EXACT_TOKENS and any(report.tokens_vary for report in reports):
            raise WrongResultError(f"rounds generated different tokens, which {case.dtype} does not explain")
        rounds = world_rounds(case, reports)
        check_marks(case, rounds)
        tokens = in_prompt_order(case, reports)
        check_counts(case, tokens)
        if checked.reference is not None:
            check_tokens(case, checked.reference, tokens)
        return Launch(tuple(reports), tuple(rounds), tokens, None)

    def samples(self, case: Case, launch: Launch) -> list[float]:
        """Return the seconds per generated token of each round."""
        return seconds_per_token([round.seconds for round in launch.rounds], case.requests)

    def figures(
        self,
        case: Case,
        checked: Checked,
        launches: Sequence[Launch],
        limits: Sequence[DeviceLimits],
        telemetry: Telemetry | None,
    ) -> Mapping[str, object]:
        """Return every metric that has its own way of being computed."""
        run = Measured(case, self._machine, launches, limits, telemetry)
        figures = {
            metric.name: metric.value(run) for metric in self.format.metrics if metric.value is not None
        }
        return figures | {"matches_reference": True if checked.reference is not None else None}

    def caveats(self, checked: Checked) -> list[str]:
        """Return whether the reference itself was compared with nothing."""
        return [] if checked.compared else ["reference not compared with transformers: no memory"]

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        """Return whether tokens vary, and whether latencies leave out too much of the rounds."""
        found = ["tokens vary"] if _tokens_vary(launches) else []
        rounds = [round for launch in launches for round in launch.rounds]
        if rounds and median(unaccounted(round) for round in rounds) > MOST_UNACCOUNTED:
            found.append("latencies do not add up")
        return found

    def result(
        self, info: dict[str, Any], output: list[list[int]], samples: tuple[float, ...]
    ) -> GenerationResult:
        """Return the result that these entries and tokens make."""
        return GenerationResult.of(info, output, samples)


def _tokens_vary(launches: Sequence[Launch]) -> bool:
    within = any(report.tokens_vary for launch in launches for report in launch.reports)
    return within or any(launch.output != launches[0].output for launch in launches)
