"""pytest's face of the package: options, markers, fixtures, the matrix, and what is printed after a run.

Nothing is imported here before a session needs it, so that other people's test runs start as fast as ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpt_dist.config.pytest_options import add_options, read_options
from pytest_gpt_dist.config.sections import SUITES
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.session import benchmark_storage
from pytest_gpt_dist.session.items import is_named, mode_of_matrix, runs_cases
from pytest_gpt_dist.session.terminal_summary import Summary

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from pytest_gpt_dist.measure.matrix import MatrixCase
    from pytest_gpt_dist.registry import Registry
    from pytest_gpt_dist.session.benchmark_session import BenchmarkSession
    from pytest_gpt_dist.session.fixtures import GptDist, ProcessGroup

_FIXTURES = ("gpt_dist", "gpt_process_group")
_OPTIONS = pytest.StashKey[Options]()
_REGISTRY = pytest.StashKey["Registry"]()
_SESSION = pytest.StashKey["BenchmarkSession"]()
_WRONG = pytest.StashKey[UsageError]()
_MARKERS = (
    "gpt_dist(gpus, strategy, **workload): what gpt_dist.run uses where it is not told; it selects too,"
    " as in -m \"gpt_dist(gpus=4, strategy='full_model_parallel')\"",
    "gpt_dist_matrix(mode='inference'): parametrize the test with the gpus, strategy and engine of each case of the"
    " mode's matrix",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that others may implement."""
    from pytest_gpt_dist import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options; a wrong one ends the session before anything is collected."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    timed = _is_timed(config)
    summary = Summary(None if timed else _why_untimed(config), know_modes=lambda: _registry(config))
    config.pluginmanager.register(summary, "gpt_dist_summary")
    config.pluginmanager.register(benchmark_storage, "gpt_dist_storage")
    gate = None
    try:
        options = config.stash[_OPTIONS] = read_options(config)
        _ = options.counts
        options.check_comparison()
        options.check_sweeps()
        if options.log_dir is not None and _starts_workers(config):
            from pytest_gpt_dist.session.session_log import check_writable

            check_writable(Path(options.log_dir), options.written("log_dir", options.log_dir))
        options.check_batching()
        options.check_launcher()
        if timed and (options.baseline or options.require_baseline or options.against is not None):
            from pytest_gpt_dist.session.second_look import SecondLook
            from pytest_gpt_dist.session.verdict_gate import Gate

            _registry(config)  # a mode of the user's own may have a gate
            # After the summary: of two hooks that come last, the later registered comes later.
            gate = Gate(config, options)
            config.pluginmanager.register(gate, "gpt_dist_gate")
            look = SecondLook(config, gate, lambda: _session(config))
            config.pluginmanager.register(look, "gpt_dist_second_look")
        if timed and options.report is not None:
            from pytest_gpt_dist.session.report_hook import Reporter

            config.pluginmanager.register(
                Reporter(config, Path(options.report), gate, options.source("report")), "gpt_dist_report"
            )
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave nothing to resume of a session that came to its end."""
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if _SESSION in session.config.stash and ended and not (session.shouldstop or session.shouldfail):
        session.config.stash[_SESSION].complete()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End every process that the session started."""
    if _SESSION in config.stash:
        config.stash[_SESSION].close()


@pytest.fixture
def gpt_dist(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Iterator[GptDist]:
    """Run distributed generation: ``gpt_dist.run(strategy=…, gpus=…, **workload) -> Result``."""
    from pytest_gpt_dist.session.case_recorder import CaseRecorder
    from pytest_gpt_dist.session.fixtures import GptDist
    from pytest_gpt_dist.terminal.live_line import LiveLine

    config = request.config
    _refuse_wrong(config)
    recorder = CaseRecorder(request.node, benchmark, lambda: _session(config), LiveLine(config))
    yield GptDist(recorder)
    recorder.finish()


@pytest.fixture
def gpt_process_group(request: pytest.FixtureRequest) -> Callable[[int], ProcessGroup]:
    """Run functions on live ranks: ``gpt_process_group(4).run(fn, *args)`` returns the results by rank."""
    from pytest_gpt_dist.session.fixtures import ProcessGroup

    _refuse_wrong(request.config)
    return lambda world_size: ProcessGroup(lambda: _session(request.config), world_size)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests marked ``gpt_dist_matrix``."""
    if metafunc.definition.get_closest_marker("gpt_dist_matrix") is None:
        return
    marker = metafunc.definition.get_closest_marker("gpt_dist") or pytest.mark.gpt_dist.mark
    metafunc.parametrize(
        ("gpus", "strategy", "engine"),
        [
            pytest.param(
                case.gpus,
                case.strategy,
                case.engine,
                id=case.id,
                # Next to the test it hides markers of its class and module, so it says what they say.
                marks=pytest.mark.gpt_dist.with_args(
                    *marker.args,
                    **{
                        **marker.kwargs,
                        **case.arguments,
                        "gpus": case.gpus,
                        "strategy": case.strategy,
                        "engine": case.engine,
                    },
                ),
            )
            for case in _matrix(metafunc.config, metafunc.definition, marker, _own_arguments(metafunc))
        ],
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files of benchmarks whose suite was not asked for, unless they are named themselves."""
    if collection_path.parent.name != "benchmarks" or _OPTIONS not in config.stash:
        return None
    suite = collection_path.stem.removeprefix("test_")
    if suite not in SUITES or suite in config.stash[_OPTIONS].suite or is_named(collection_path, config):
        return None
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test that runs cases the clock through which pytest-benchmark sees their times."""
    for item in items:
        if runs_cases(item):
            from pytest_gpt_dist.session.case_recorder import add_clock

            add_clock(item)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find what is wrong with the options before the first case of the matrix starts."""
    config = session.config
    needed = any(set(_FIXTURES) & set(getattr(item, "fixturenames", ())) for item in session.items)
    if hasattr(config, "workerinput"):
        # Raised on a worker it would look like a crash of xdist; there the tests fail, in one line each.
        try:
            if needed:
                _session(config).open_log()
        except UsageError as error:
            config.stash[_WRONG] = error
        return
    try:
        if _WRONG in config.stash:
            raise config.stash[_WRONG]
        modes = dict.fromkeys(map(mode_of_matrix, session.items))
        if needed and not config.pluginmanager.hasplugin("benchmark"):
            raise UsageError(
                "gpt_dist records through pytest-benchmark, which is switched off; leave out -p no:benchmark"
            )
        if needed and not _is_timed(config):
            _refuse_untimed(config)
        if needed:
            _session(config).case_count = sum(map(runs_cases, session.items))
        if needed and not config.option.collectonly:
            _session(config).open_log()
        for mode in filter(None, modes):
            _session(config).mode(mode).cases.check_options(collect_only=config.option.collectonly)
        if needed and not config.option.collectonly:
            _ = _session(config).against
        if _is_timed(config) and not config.option.collectonly and any(map(runs_cases, session.items)):
            _tell(config, _session(config).open_journal())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a case saved travel with its report, also from an xdist worker."""
    report = yield
    if call.when == "call" and runs_cases(item):
        from pytest_gpt_dist.session.case_recorder import MIN_EFFECT, NOTES, SAVED

        # TestReport carries any attribute that is JSON, its type does not say so.
        if SAVED in item.stash:
            setattr(report, "gpt_dist", item.stash[SAVED])  # noqa: B010
        if MIN_EFFECT in item.stash:
            setattr(report, "gpt_dist_min_effect", item.stash[MIN_EFFECT])  # noqa: B010
        if NOTES in item.stash:
            setattr(report, "gpt_dist_notes", item.stash[NOTES])  # noqa: B010
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Say which GPUs there are, and leave out the momentary clock that would make every run another machine."""
    from pytest_gpt_dist.host.gpus import driver_version, installed_gpus

    try:
        machine_info["gpus"] = [gpu.name for gpu in installed_gpus()]
        machine_info["driver"] = driver_version()
    except UsageError:  # a broken driver is no business of other people's benchmarks
        machine_info["gpus"] = machine_info["driver"] = None
    for momentary in ("hz_actual", "hz_actual_friendly"):
        machine_info.get("cpu", {}).pop(momentary, None)


def _registry(config: pytest.Config) -> Registry:
    """Return what can be named in this session; with it the results of every mode can be read."""
    if _REGISTRY not in config.stash:
        from pytest_gpt_dist.registry import Registry, builtin

        registry = config.stash[_REGISTRY] = Registry()
        builtin(registry)
        config.hook.pytest_gpt_dist_register(registry=registry)
    return config.stash[_REGISTRY]


def _session(config: pytest.Config) -> BenchmarkSession:
    if _SESSION not in config.stash:
        from pytest_gpt_dist.session.benchmark_session import BenchmarkSession

        config.stash[_SESSION] = BenchmarkSession(
            config.stash[_OPTIONS],
            _registry(config),
            config.rootpath,
            timed=_is_timed(config),
            runs=not config.option.collectonly,
            tell=lambda text: _tell(config, text),
        )
    return config.stash[_SESSION]


def _tell(config: pytest.Config, warning: str | None) -> None:
    """Show a line before the first test, and not as a warning, which may be an error."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if warning is not None and reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(f"gpt-dist: {warning}", yellow=True)


def _own_arguments(metafunc: pytest.Metafunc) -> set[str]:
    """Return the names of what the test gets from elsewhere than the matrix, and pytest puts into its id."""
    own = set(signature(metafunc.function).parameters)
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        own |= {name.strip() for name in names.split(",")} if isinstance(names, str) else {*names}
    return own


def _matrix(
    config: pytest.Config, test: pytest.Item, marker: pytest.Mark, own: set[str]
) -> Sequence[MatrixCase]:
    from pytest_gpt_dist.measure.matrix import MatrixCase

    try:
        mode = mode_of_matrix(test)
        assert mode is not None
        return _session(config).matrix(mode, marker.kwargs, own)
    except UsageError as error:
        # Collection would turn it into a traceback; it is raised when collection ends, or by the one case.
        config.stash[_WRONG] = error
        return [MatrixCase(1, "", "", "wrong-options")]


def _is_timed(config: pytest.Config) -> bool:
    """Whether pytest-benchmark records: it does not when disabled, nor beside other workers of xdist."""
    disabled = config.getoption("benchmark_disable", False) and not config.getoption(
        "benchmark_enable", False
    )
    return not disabled and not _beside_others(config)


def _refuse_untimed(config: pytest.Config) -> None:
    """Raise UsageError where a comparison or report was asked for: without times it must not look like a pass."""
    options = config.stash[_OPTIONS]
    for name in ("against", "require_baseline", "report"):
        if getattr(options, name):
            raise UsageError(
                f"{options.source(name)} needs times, and there are none: {_why_untimed(config)}"
            )


def _why_untimed(config: pytest.Config) -> str:
    return (
        "ranks of several xdist workers share the machine"
        if _beside_others(config)
        else "--benchmark-disable"
    )


def _refuse_wrong(config: pytest.Config) -> None:
    if _WRONG in config.stash:
        pytest.fail(str(config.stash[_WRONG]), pytrace=False)


def _starts_workers(config: pytest.Config) -> bool:
    return _is_distributed(config) and not hasattr(config, "workerinput")


def _beside_others(config: pytest.Config) -> bool:
    # The variable is what pytest-benchmark goes by, in a session within a worker too.
    return "PYTEST_XDIST_WORKER" in os.environ or _is_distributed(config)


def _is_distributed(config: pytest.Config) -> bool:
    return bool(config.getoption("dist", "no") != "no")
