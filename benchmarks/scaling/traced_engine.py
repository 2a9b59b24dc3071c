"""The native engine with a clock around everything that its rank communicates."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaling.trace import FOLDER_VARIABLE, Generation, trace_file, write_trace

from pytest_gpt_dist.cluster.mesh import Mesh
from pytest_gpt_dist.engines.native import NativeEngine
from pytest_gpt_dist.engines.protocol import Batch, Chooser, ModelSource, Stopwatch

_COLLECTIVES = ("all_reduce", "all_gather")
_HOPS = ("send_next", "recv_previous", "send_tokens", "recv_tokens", "settle")


class TracedEngine(NativeEngine):
    """Notes what each generation, the check and the warm-up among them, spent in communication."""

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        super().__init__(source, mesh, report)
        self._file = trace_file(Path(os.environ[FOLDER_VARIABLE]), mesh.layout, mesh.layout.rank(mesh.at))
        self._generations: list[Generation] = []
        self._collectives_s: list[float] = []
        self._hops_s: list[float] = []
        for names, seconds in ((_COLLECTIVES, self._collectives_s), (_HOPS, self._hops_s)):
            for name in names:
                # On the mesh itself, because the chooser of tokens communicates through it, too.
                setattr(mesh, name, _timed(getattr(mesh, name), seconds))

    def generate(
        self, batches: Sequence[Batch], chooser: Chooser, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens; see :class:`~pytest_gpt_dist.engines.protocol.Engine`."""
        self._collectives_s.clear()
        self._hops_s.clear()
        start_s = time.perf_counter()
        tokens = super().generate(batches, chooser, stopwatch)
        seconds = time.perf_counter() - start_s
        self._generations.append(Generation(seconds, tuple(self._collectives_s), sum(self._hops_s)))
        return tokens

    def close(self) -> None:
        """Free weights and caches, and leave what was noted."""
        super().close()
        write_trace(self._file, self._generations)


def _timed(call: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start_s = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - start_s)

    return timed
