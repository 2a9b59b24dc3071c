"""pytest-benchmark's files, where its own reading and writing would end a session in a traceback.

The hooks of this module are registered as a plugin of their own. What others benchmark is read and saved as ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.logger import PytestBenchmarkWarning

from pytest_gpt_dist.results.saved import is_ours


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_benchmark_compare_machine_info(
    benchmarksession: Any, machine_info: Mapping[str, Any], compared_benchmark: Mapping[str, Any]
) -> Generator[None, Any, Any]:
    """Say in a line what differs where pytest-benchmark's own warning of it would be an internal error.

    That is with a storage outside of the working directory, and where warnings are errors.
    """
    try:
        return (yield)
    except PytestBenchmarkWarning:
        pass
    except ValueError:
        if _is_located(benchmarksession.storage):
            raise  # not about the place: somebody's own check
    keys = ", ".join(differing_keys(machine_info, compared_benchmark["machine_info"]))
    line = f"A run saved in {benchmarksession.storage} is of another machine (different: {keys})"
    return benchmarksession.logger.info(line, newline=False)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(benchmarks: Sequence[Any], output_json: Mapping[str, Any]) -> None:
    """Save the raw samples of this package's cases even without ``--benchmark-save-data``."""
    samples = {bench.fullname: bench.stats.data for bench in benchmarks if _is_case(bench)}
    for entry in output_json["benchmarks"]:
        if entry["fullname"] in samples:
            entry["stats"].setdefault("data", samples[entry["fullname"]])


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Let pytest-benchmark save, and survive it if it cannot."""
    benchmarks = session.config.pluginmanager.get_plugin("pytest-benchmark")
    if benchmarks is not None and any(_is_case(bench) for bench in benchmarks.benchmarks):
        storage = benchmarks.storage
        # No hook stands around the writing, and an error that leaves pytest-benchmark's hook takes the
        # tables and every other plugin's report with it.
        benchmarks.save_json = _surviving(
            session, f"--benchmark-json={benchmarks.json}", benchmarks.save_json
        )
        storage.save = _surviving(session, str(storage), _whole_or_nothing(storage))
    return (yield)


def differing_keys(machine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the keys in which two machines differ as they are saved; those of a mapping inside as ``cpu.count``."""
    keys: list[str] = []
    for key in sorted({*machine, *other}):
        mine, its = machine.get(key), other.get(key)
        if isinstance(mine, Mapping) and isinstance(its, Mapping):
            keys += [f"{key}.{inner}" for inner in differing_keys(mine, its)]
        elif json.dumps(mine) != json.dumps(its):
            keys.append(key)
    return keys


def _is_case(bench: Any) -> bool:
    return is_ours(bench.extra_info)


def _is_located(storage: Any) -> bool:
    """Whether the storage can say where it is, which pytest-benchmark's can below the working directory only."""
    try:
        return storage.location is not None
    except ValueError:
        return False


def _surviving(session: pytest.Session, place: str, save: Callable[..., None]) -> Callable[..., None]:
    """``save``, but an error of the disk fails the session in one line instead of ending it."""

    def saving(*args: Any) -> None:
        try:
            save(*args)
        except OSError as error:
            line = (
                f"{place} cannot be written: {error.strerror or error};"
                " make room, or choose another place, and run again with --gpt-resume"
            )
            # pytest prints it below the tables, and a session that should fail keeps its journal.
            session.shouldfail = f"{session.shouldfail}; {line}" if session.shouldfail else line
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    return saving


def _whole_or_nothing(storage: Any) -> Callable[..., None]:
    """Return the storage's ``save``, which then leaves no half file for the next session to stumble over."""
    save: Callable[..., None] = storage.save

    def saving(output_json: Mapping[str, Any], name: str) -> None:
        earlier = set(storage.query())
        try:
            save(output_json, name)
        except OSError:
            with suppress(OSError):
                for path in set(storage.query()) - earlier:
                    if Path(path).name.endswith(f"_{name}.json"):
                        path.unlink()
            raise

    return saving
