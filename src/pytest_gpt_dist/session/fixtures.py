"""What the fixtures hand to a test: a runner of cases, and groups of ranks.

A method for each mode that the package comes with names its result; all else of a session knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.result import GenerationResult
from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.session.benchmark_session import BenchmarkSession
from pytest_gpt_dist.session.case_recorder import CaseRecorder, failed
from pytest_gpt_dist.training.result import TrainingResult


class GptDist:
    """Runs cases for one test; the first is what pytest-benchmark records."""

    def __init__(self, recorder: CaseRecorder) -> None:
        self._recorder = recorder

    def run(
        self, *, strategy: str | None = None, gpus: int | None = None, **workload: Any
    ) -> GenerationResult:
        """Check one case of inference against its reference, time it, and return the result.

        What is left out comes from the test's ``gpt_dist`` marker, then from its parameters, then from the
        options. ``strategy`` is a name or a layout such as ``dp1pp2tp2``; ``prompts`` a list of texts or of
        lists of token ids, or a file's path. A wrong argument, a wrong result or a lost rank fails the test;
        too few GPUs skip it.
        """
        __tracebackhide__ = True
        given = {name: value for name, value in (("strategy", strategy), ("gpus", gpus)) if value is not None}
        result = self._recorder.measure("inference", given | workload)
        assert isinstance(result, GenerationResult)
        return result

    def train(
        self, *, strategy: str | None = None, gpus: int | None = None, **workload: Any
    ) -> TrainingResult:
        """Check one training against one process, time its steps, and return the result.

        What is left out comes from where it comes from in ``run``. ``strategy`` is a name such as ``zero3``;
        ``samples`` a list of lists of token ids, which steps take in their order, from the start again at the end.
        """
        __tracebackhide__ = True
        given = {name: value for name, value in (("strategy", strategy), ("gpus", gpus)) if value is not None}
        result = self._recorder.measure("training", given | workload)
        assert isinstance(result, TrainingResult)
        return result

    def measure(self, mode: str, /, **arguments: Any) -> Result:
        """Check one case of any mode, by the name that it is registered under, time it, and return the result.

        What is left out comes from where it comes from in ``run``.
        """
        __tracebackhide__ = True
        return self._recorder.measure(mode, arguments)


class ProcessGroup:
    """A live group of ranks, for any distributed test."""

    def __init__(self, session: Callable[[], BenchmarkSession], world_size: int) -> None:
        self._world_size = world_size
        try:
            device_count(world_size, "a group of ")
            self._session = session()
            lack = self._session.lacks_devices(world_size)
        except UsageError as error:
            raise failed(error) from None
        if lack is not None:
            pytest.skip(lack)

    def run(self, fn: Callable[..., Any], /, *args: Any) -> list[Any]:
        """Run ``fn(*args)`` on every rank, inside an initialised process group; the results by rank.

        ``fn`` is a function at the top of a module. Raises RankGroupError, with every rank's traceback or
        stack, if one raises, dies or is silent for longer than ``--gpt-timeout``.
        """
        __tracebackhide__ = True
        try:
            return self._session.group(self._world_size).run(fn, *args)
        except UsageError as error:
            raise failed(error) from None
        except RankGroupError as error:
            raise error.with_traceback(None) from None
