"""Cases of collectives, as options and tests ask for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.collectives.bandwidth import Collective, written_size
from pytest_gpt_dist.collectives.case import CollectiveCase
from pytest_gpt_dist.config.collectives import KINDS
from pytest_gpt_dist.config.declaration import parse_bytes
from pytest_gpt_dist.config.sections import MATRIX
from pytest_gpt_dist.errors import UsageError, counted, quoted
from pytest_gpt_dist.host.cgroups import memory_left_bytes
from pytest_gpt_dist.host.preconditions import free_memory
from pytest_gpt_dist.measure.fingerprint import machine_entries
from pytest_gpt_dist.measure.matrix import DEFAULT_ENGINE, MatrixCase
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.registry import unknown

FINGERPRINT_SCHEMA = 1
ITEMSIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_NAMED = re.compile(r"(\w+)-(\S+)", re.ASCII)


class CollectiveCases:
    """Makes cases of collectives for one session."""

    arguments = MATRIX

    def __init__(self, context: ModeContext) -> None:
        self._options = context.options
        self._machine = context.machine

    def check_options(self, *, collect_only: bool = False) -> None:
        """Find what is wrong with the options before anything starts; UsageError in one line."""
        if self._options.degrees is not None:
            raise UsageError("collectives divide no model: give --gpt-gpus in place of degrees")
        if all(count == 1 for count in self._options.counts):
            raise UsageError(f"{self._options.written('gpus')}: one device has nobody to communicate with")

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str] = ()) -> list[MatrixCase]:
        """Return every collective of every size on every count of several devices."""
        label = "" if self._options.dtype in (None, self._usual_dtype) else f"-{self._options.dtype}"
        return [
            MatrixCase(gpus, f"{kind}-{size}", DEFAULT_ENGINE, f"{gpus}gpu-{kind}-{size}{label}")
            for gpus in self._options.counts
            if gpus > 1
            for kind in self._options.collective
            for size in map(written_size, self._options.collective_sizes)
        ]

    def case(self, arguments: Mapping[str, Any]) -> CollectiveCase:
        """Return the case that arguments describe; UsageError for anything wrong in them."""
        gpus = arguments.get("gpus")
        gpus = device_count(self._options.counts[-1] if gpus is None else gpus)
        if gpus < 2:
            raise UsageError("a collective needs 2 devices at least: one has nobody to communicate with")
        named = arguments.get("strategy")
        strategy = f"{KINDS[0]}-1MiB" if named is None else named
        kind, size_bytes = _read(strategy)
        engine = arguments.get("engine") or DEFAULT_ENGINE
        if engine != DEFAULT_ENGINE:
            raise unknown("engine of collectives", str(engine), (DEFAULT_ENGINE,))
        dtype = self._options.dtype or self._usual_dtype
        return CollectiveCase(strategy, Collective.of_bytes(kind, gpus, size_bytes, ITEMSIZES[dtype]), dtype)

    def alone(self, case: CollectiveCase) -> None:
        """Return None: on one device there is no communication that another one could be compared with."""
        return

    def lacks(self, case: CollectiveCase) -> str | None:
        """Return in one line why the buffers do not fit, or None."""
        each, machine = case.collective.buffers_bytes(), self._machine
        if machine.device == "cuda":
            least = min(gpu.memory_bytes for gpu in machine.gpus)
            fits = not least or each <= least
        elif machine.world is not None:
            return None  # what other machines have free is not known here
        else:
            free = free_memory(Path("/proc/meminfo").read_text(), memory_left_bytes()).usable
            fits = each * case.gpus <= free
        return None if fits else f"{counted(case.gpus, 'rank')} need {each:,} bytes each, which are not free"

    def fingerprint(self, case: CollectiveCase) -> Mapping[str, Any]:
        """Return everything besides the code under test that changes the case's numbers, as it is saved."""
        return {
            "schema": FINGERPRINT_SCHEMA,
            **machine_entries(self._machine, case.gpus),
            "engine": case.engine,
            "layout": case.layout.id,
            "collective": case.collective.kind,
            "bytes": case.collective.bytes,
            "dtype": case.dtype,
        }

    @property
    def _usual_dtype(self) -> str:
        return "bfloat16" if self._machine.device == "cuda" else "float32"


def _read(strategy: object) -> tuple[str, int]:
    """Return kind and bytes of a name such as ``all_reduce-64KiB``."""
    found = _NAMED.fullmatch(strategy) if isinstance(strategy, str) else None
    if found is None:
        raise UsageError(
            f"strategy {quoted(strategy)}: expected a collective and a size, such as all_reduce-64KiB"
        )
    if found[1] not in KINDS:
        raise unknown("collective", found[1], KINDS)
    try:
        return found[1], parse_bytes(found[2])
    except ValueError as error:
        raise UsageError(f"strategy {quoted(strategy)}: {error}") from None
