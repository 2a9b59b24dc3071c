"""One case on two sides: launches in turns, screened, and confirmed where the sides seem to differ."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic

from pytest_gpt_dist.ab.other_side import Against
from pytest_gpt_dist.cluster import OWN, RankGroupError, Side
from pytest_gpt_dist.compare.ab import confirmation_of, is_flagged, is_suspect
from pytest_gpt_dist.compare.paired import Order, screening_order
from pytest_gpt_dist.compare.verdict import JudgedTime
from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.measure.envelope import marks, paired_entries, paired_figures
from pytest_gpt_dist.measure.mode import CaseT, CheckedT, Groups
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner
from pytest_gpt_dist.telemetry.alerts import worst

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class PairedRule:
    """What counts as a difference: the smallest effect, what gates besides, and whether differences are controlled."""

    min_effect: float
    gates: tuple[str, ...]
    null_control: bool


_log = logging.getLogger(__name__)


class _OtherSideError(Exception):
    """The other side gave no launch."""


class PairedCaseRunner(Generic[CaseT, CheckedT]):
    """Runs cases on two sides; the result is this side's, with what was seen of the other in ``against``."""

    def __init__(self, runner: CaseRunner[CaseT, CheckedT], sides: Groups, against: Against) -> None:
        self._runner = runner
        self._sides = sides
        self._against = against

    def run(
        self,
        case: CaseT,
        timing: Timing,
        rule: PairedRule,
        one_device: Callable[[], CaseT | None],
        status: Callable[[str], None],
    ) -> Result:
        """Measure a case in pairs. A wrong or failing other side is told in ``against``; this side's raises.

        What was measured before it failed counts as far as it is complete: a screening without its
        confirmation is inconclusive.
        """
        if timing.launches > 1:
            raise UsageError(
                f"launches={timing.launches}: two sides are compared by a number of launches of its own"
            )
        self._sides.renew()
        checked = self._runner.mode.check(case, status)
        block = _Block(self, case, timing, checked, status)
        times = JudgedTime.of(self._runner.mode.format, rule.gates)
        problem = None
        screening: list[dict[str, Figures]] = []
        confirmation: list[dict[str, Figures]] = []
        null_control: list[dict[str, Figures]] = []
        try:
            began_s = time.monotonic()
            block.measure(screening_order(), "screening", screening)
            pair_s = (time.monotonic() - began_s) / len(screening_order())
            if is_suspect(screening, times, rule.min_effect):
                order = confirmation_of(screening, times, pair_s)
                block.measure(order, "confirmation", confirmation)
                if rule.null_control and is_flagged(confirmation, times, rule.min_effect):
                    block.measure(order, "null control", null_control, alike=True)
        except _OtherSideError as error:
            problem = str(error)
            confirmation.clear()
            if len(screening) < len(screening_order()):
                screening.clear()
            if not block.after:
                block.launch(OWN, "after", block.after)
        finally:
            self._sides.renew()
        result = self._runner.result(case, timing, checked, block.after)
        result = self._runner.scaled(case, result, timing, one_device, status)
        for mark in marks(self._runner.mode, case, block.control):
            result = result.marked(f"null control: {mark}")
        named = self._against.named
        entries: dict[str, Any] = {
            "name": named.name,
            "revision": named.revision,
            "python": named.python,
            "versions": self._against.versions,
            "problem": problem,
            "screening": screening,
            "confirmation": confirmation,
            "null_control": null_control,
            "alerts": _alerts([*block.before, *block.control]),
        }
        other = self._runner.result(case, timing, checked, block.before).extra_info if block.before else {}
        entries |= {key: other.get(key) for key in paired_entries(self._runner.mode.format)}
        return replace(result, extra_info=result.extra_info | {"against": entries})

    def launch(
        self, side: Side, case: CaseT, timing: Timing, checked: CheckedT, status: Callable[[str], None]
    ) -> Launch:
        """One launch of either side. _OtherSideError where it is the other one and fails."""

        def measured() -> Launch:
            self._sides.renew(side)
            return self._runner.launch(case, timing, checked, status)

        if side is OWN:
            return self._runner.undisturbed(case, measured)
        try:
            launch = self._runner.undisturbed(case, measured)
            group = self._sides.group(case.gpus)
        except (UsageError, WrongResultError, RankGroupError) as error:
            raise _OtherSideError(first_line(error)) from None
        self._against.require_own_code(group, ran=True)
        return launch

    def figures(self, case: CaseT, checked: CheckedT, launch: Launch) -> Figures:
        """One number of each metric a launch."""
        return paired_figures(self._runner.mode, case, checked, launch)

    @property
    def other(self) -> Side:
        """The side that is compared with."""
        return self._against.side


class _Block(Generic[CaseT, CheckedT]):
    """The launches of one case; all of them are kept, those that fail included in none."""

    def __init__(
        self,
        runner: PairedCaseRunner[CaseT, CheckedT],
        case: CaseT,
        timing: Timing,
        checked: CheckedT,
        status: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._case = case
        self._timing = timing
        self._checked = checked
        self._status = status
        self.before: list[Launch] = []
        self.after: list[Launch] = []
        self.control: list[Launch] = []

    def measure(
        self, order: Order, stage: str, into: list[dict[str, Figures]], *, alike: bool = False
    ) -> None:
        """Measure pairs in that order; if they are to be ``alike``, both of this side, as control."""
        for number, pair in enumerate(order, 1):
            figures: dict[str, Figures] = {}
            for name in pair:
                other = name == "before" and not alike
                side = self._runner.other if other else OWN
                kept = self.control if alike else self.before if other else self.after
                told = f"{stage} {number} of {len(order)}, {name}"
                figures[name] = self._runner.figures(self._case, self._checked, self.launch(side, told, kept))
            into.append(figures)

    def launch(self, side: Side, told: str, kept: list[Launch]) -> Launch:
        """One launch of a side, added to those that are ``kept``."""
        _log.info("%s", told)
        launch = self._runner.launch(
            side, self._case, self._timing, self._checked, lambda text: self._status(f"{told}: {text}")
        )
        kept.append(launch)
        return launch


def _alerts(launches: Sequence[Launch]) -> list[dict[str, Any]]:
    """Return the worst of each quantity and place, as they are saved."""
    seen = [launch.observation for launch in launches if launch.observation is not None]
    return [asdict(alert) for alert in worst(alert for each in seen for alert in each.alerts)]
