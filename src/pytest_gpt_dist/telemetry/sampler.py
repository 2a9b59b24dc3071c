"""Looks at the machine at intervals, beside the ranks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from types import TracebackType

from pytest_gpt_dist.config.thresholds import DEFAULT_THRESHOLDS, Threshold
from pytest_gpt_dist.telemetry.alerts import Alert, raised, worst
from pytest_gpt_dist.telemetry.observation import INTERVAL_S, Observation
from pytest_gpt_dist.telemetry.reading import Reading
from pytest_gpt_dist.telemetry.source import Source

PATIENCE_S = 10.0
"""NVML may take seconds to start; for a GPU that fell off the bus it may take for ever."""

_log = logging.getLogger(__name__)


class Sampler:
    """Takes a look when it is entered, then one in every interval, and a last one when it is left.

    A thread of this process opens the source, looks and closes it, so that a driver that hangs holds up
    neither end for longer than ``patience_s``. A look that fails is left out; nothing of it reaches the case.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        thresholds: Sequence[Threshold] = DEFAULT_THRESHOLDS,
        interval_s: float = INTERVAL_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._open_source = open_source
        self._thresholds = tuple(thresholds)
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._readings: list[Reading] = []
        self._alerts: tuple[Alert, ...] = ()
        self._present: tuple[Alert, ...] = ()
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpt-dist-telemetry", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        self._looked.wait(self._patience_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self._patience_s)

    def announced(self, text: str) -> str:
        """Return a status line, behind what is alarming at the moment."""
        return " · ".join([*(f"! {alert.short}" for alert in self._present), text])

    def observation(self, start_s: float, end_s: float) -> Observation | None:
        """Return what was seen, with the span of the rounds on the monotonic clock; None if nothing was."""
        readings = tuple(self._readings)
        return Observation(readings, start_s, end_s, self._alerts) if readings else None

    def _watch(self) -> None:
        try:
            with closing(self._open_source()) as source:
                self._look(source)
                self._looked.set()
                while not self._stop.wait(self._interval_s):
                    self._look(source)
                self._look(source)
        except Exception as error:
            _log.info("watching the machine ended: %r", error)
        finally:
            self._looked.set()

    def _look(self, source: Source) -> None:
        try:
            now = source.read()
        except Exception as error:
            _log.info("a look at the machine failed: %r", error)
            return
        before = self._readings[-1] if self._readings else None
        self._present = tuple(raised(before, now, self._thresholds))
        self._alerts = tuple(worst((*self._alerts, *self._present)))
        self._readings.append(now)
