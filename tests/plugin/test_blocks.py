"""Engines of one case are measured in turns, and each has its own item."""

from pathlib import Path

from plugin.sessions import TESTS, TINY, run_session

CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    for name in ("First", "Second", "Wrong"):
        registry.add_engine(name.lower(), f"my_engines:{name}")
"""
ENGINES = """\
import os
from pathlib import Path
from pytest_gpt_dist.inference.engines.native import NativeEngine

class First(NativeEngine):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        with Path("launches").open("a") as file:
            print(type(self).__name__, os.getpid(), file=file)

class Second(First):
    pass

class Wrong(First):
    def generate(self, batches, sampler, stopwatch=None):
        tokens = super().generate(batches, sampler, stopwatch)
        return {index: ids[:-1] for index, ids in tokens.items()}
"""
MATRIX = (TESTS.parent / "benchmarks" / "test_inference.py").read_text()
FILES = {"conftest.py": CONFTEST, "my_engines.py": ENGINES, "test_inference.py": MATRIX}


def test_launches_of_the_engines_of_a_case_take_turns(tmp_path: Path) -> None:
    engines = "--gpt-engine=first,second,wrong"
    session = run_session(
        tmp_path, FILES, *TINY, engines, "--gpt-gpus=1", "--gpt-launches=2", "--benchmark-autosave"
    )
    name = "test_generate[1gpu-pure_data_parallel-tiny.b2.p6.n8-{}]".format
    lines = [line.split() for line in (tmp_path / "launches").read_text().splitlines()]
    assert [engine for engine, _ in lines] == ["First", "Second", "Wrong", "Second", "First"]
    assert len({process for _, process in lines}) == 5
    assert {key: test.outcome for key, test in session.tests.items()} == {
        name("first"): "passed",
        name("second"): "passed",
        name("wrong"): "failure",
    }, session.output
    assert "new tokens" in session.tests[name("wrong")].said
    for engine in ("first", "second"):
        info = session.info(name(engine))
        assert info["engine"] == info["reference"]["engine"] == engine
        assert len(info["launches"]) == 2
        assert info["speedup"] == 1


def test_an_engine_that_is_not_selected_is_not_measured(tmp_path: Path) -> None:
    session = run_session(tmp_path, FILES, *TINY, "--gpt-engine=first,second", "--gpt-gpus=1", "-k", "second")
    assert session.status == 0, session.output
    assert (tmp_path / "launches").read_text().split()[::2] == ["Second"]
