"""No figure for a wrong result: engines that are broken on purpose, and the case after them."""

import pytest

from plugin.sessions import TINY, Session, run_session

CONFTEST = """
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("same", "pytest_gpt_dist.inference.engines.native:NativeEngine")
    for name in NAMES:
        registry.add_engine(name, f"broken_engines:{name}")

NAMES = (
    "CorruptWeight", "Replicated", "SecretlyReplicated", "Chatty", "WrongWhenTimed", "LazyWhenTimed", "Dying",
    "Unchecked", "Unnoted", "TooLargeForOne",
)
"""
TEST = """
import pytest

LAYOUTS = {
    "CorruptWeight": ["dp2pp1tp1", "dp1pp2tp1", "dp1pp1tp2"],
    "Replicated": ["dp1pp1tp2", "dp1pp2tp1"],
    "SecretlyReplicated": ["dp1pp1tp2"],
    "Chatty": ["dp1pp1tp2"],
    "WrongWhenTimed": ["dp1pp1tp1"],
    "LazyWhenTimed": ["dp1pp1tp1"],
    "Unnoted": ["dp1pp1tp1"],
    "Dying": ["dp1pp1tp2"],
}

@pytest.mark.parametrize(
    ("engine", "layout"), [(engine, layout) for engine, layouts in LAYOUTS.items() for layout in layouts]
)
def test_broken(gpt_dist, engine, layout):
    gpt_dist.run(engine=engine, strategy=layout)

def test_lazy_sampling(gpt_dist):
    gpt_dist.run(engine="LazyWhenTimed", temperature=1.0)

def test_unchecked(gpt_dist):
    gpt_dist.run(engine="Unchecked", strategy="dp1pp1tp2", dtype="bfloat16")

def test_corrupt_bfloat16(gpt_dist):
    gpt_dist.run(engine="SecretlyReplicated", strategy="dp1pp1tp2", dtype="bfloat16")

def test_too_large_for_one(gpt_dist):
    result = gpt_dist.run(engine="TooLargeForOne", strategy="dp1pp1tp2")
    assert result.tokens_per_s > 0
    assert result.speedup is result.efficiency is None
    (mark,) = result.extra_info["marks"]
    assert mark.startswith("no speed-up: on one device,")
    assert "out of memory" in mark

def test_the_whole_context(gpt_dist):
    gpt_dist.run(strategy="dp1pp2tp1", prompt_tokens=60, new_tokens=4)

def test_sound(gpt_dist):
    gpt_dist.run(strategy="dp1pp1tp2")

def test_same_by_another_name(gpt_dist):
    gpt_dist.run(engine="same", strategy="dp1pp1tp2")
"""
SPLIT = "bytes of parameters, its share is"
BROKEN = {
    "test_broken[CorruptWeight-dp2pp1tp1]": "logits are",
    "test_broken[CorruptWeight-dp1pp2tp1]": "logits are",
    "test_broken[CorruptWeight-dp1pp1tp2]": "logits are",
    "test_broken[Replicated-dp1pp1tp2]": SPLIT,
    "test_broken[Replicated-dp1pp2tp1]": SPLIT,
    "test_broken[SecretlyReplicated-dp1pp1tp2]": "rank 0 (dp0 pp0 tp0 of dp1·pp1·tp2) communicated",
    "test_broken[Chatty-dp1pp1tp2]": "rank 0 (dp0 pp0 tp0 of dp1·pp1·tp2) communicated",
    "test_broken[WrongWhenTimed-dp1pp1tp1]": "began with tokens [0, 0",
    "test_broken[LazyWhenTimed-dp1pp1tp1]": "tokens",
    "test_lazy_sampling": "tokens",
    "test_unchecked": "did not let its logits be compared",
    "test_corrupt_bfloat16": "communicated",
    "test_broken[Unnoted-dp1pp1tp1]": "noted",
}
SOUND = {
    "test_sound",
    "test_same_by_another_name",
    "test_too_large_for_one",
    "test_the_whole_context",
}
DYING = "test_broken[Dying-dp1pp1tp2]"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return run_session(
        tmp_path_factory.mktemp("broken"),
        {"conftest.py": CONFTEST, "test_broken.py": TEST},
        *TINY,
        "--gpt-device=cpu",
        "--benchmark-autosave",
    )


@pytest.mark.parametrize(("name", "said"), BROKEN.items(), ids=BROKEN)
def test_a_broken_engine_is_an_error_of_one_line(session: Session, name: str, said: str) -> None:
    test = session.tests[name]
    assert test.outcome == "failure"
    (line,) = test.said.splitlines()
    assert said in line


@pytest.mark.parametrize("name", [*BROKEN, DYING])
def test_a_broken_engine_has_no_number_anywhere(session: Session, name: str) -> None:
    assert name not in session.benchmarks
    table = session.output.partition("- gpt-dist -")[2].partition("short test summary")[0]
    assert name not in table


def test_a_rank_that_dies_says_who_where_and_how(session: Session) -> None:
    test = session.tests[DYING]
    assert test.outcome == "failure"
    assert "rank 1" in test.said
    assert "dp0 pp0 tp1 of dp1·pp1·tp2" in test.said
    assert "SIGKILL" in test.said


def test_the_sound_case_after_them_has_its_number(session: Session) -> None:
    assert session.tests["test_sound"].outcome == "passed"
    assert set(session.benchmarks) == SOUND


@pytest.mark.parametrize("name", ["test_too_large_for_one", "test_the_whole_context"])
def test_what_is_finished_keeps_its_number(session: Session, name: str) -> None:
    assert session.tests[name].outcome == "passed", session.tests[name].said


def test_a_speed_up_is_over_one_device_of_the_same_engine(session: Session) -> None:
    reference = session.info("test_same_by_another_name")["reference"]
    assert (reference["engine"], reference["origin"]) == ("same", "measured on demand")


def test_broken_engines_are_no_warning(session: Session) -> None:
    assert session.status == pytest.ExitCode.TESTS_FAILED
    assert {test.outcome for test in session.tests.values()} == {"failure", "passed"}
