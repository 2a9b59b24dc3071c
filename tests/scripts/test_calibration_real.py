"""The pool of real launches: its order, its file, its windows, and that the documentation shows what it says."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import exp
from pathlib import Path
from random import Random

import pytest
from scripts.calibration.pool import measure, start
from scripts.calibration.pool_file import Pool, PooledLaunch, Setting, read_pool, write_pool
from scripts.calibration.real import (
    EVENED,
    LEAST_LAUNCHES,
    NONE,
    Evaluation,
    Share,
    as_saved,
    evaluate,
    judge_pairs,
    judge_sessions,
    tables,
)
from scripts.calibration.schedule import BLOCK, NATIVE, SLOWED, SPELL, Neighbour, neighbours, schedule
from scripts.calibration.wilson import wilson_interval
from scripts.calibration.windows import (
    ORDER,
    evened,
    mean_log_ratios,
    natives,
    null_couples,
    null_sessions,
    paired_windows,
    slowed_couples,
    slowed_sessions,
)

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.statistics import launch_datum
from pytest_gpt_dist.registry import load

FOLDER = Path(__file__).parents[2] / "scripts/calibration"
DOCUMENT = Path(__file__).parents[2] / "docs/verdicts.md"
TRUTH = {NATIVE: 1.0, "slower2": 1.02, "slower3": 1.03, "slower5": 1.05, "slower10": 1.10}
SETTING = Setting(1, {"model": "made"}, {"cores": 2})


def made(blocks: int, noise: float = 0.004, drift: float = 0.0) -> list[PooledLaunch]:
    """Make a pool whose truth is known: launches an hour apart in 1000, each with rounds of 1% noise."""
    generator = Random(1)
    launches = []
    for number, engine in enumerate(schedule(blocks, 1)):
        level = TRUTH[engine] * exp(noise * generator.gauss(0, 1) + drift * number / 1000)
        rounds_s = tuple(0.007 * level * exp(0.01 * generator.gauss(0, 1)) for _ in range(9))
        launches.append(PooledLaunch(engine, 3.6 * number, launch_datum(rounds_s), rounds_s))
    return launches


POOL = made(50)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(POOL)


def of(evaluation: Evaluation, rule: str, slower: str, counted: str) -> Share:
    (found,) = (
        share
        for share in evaluation.shares
        if share.rule == rule
        and share.slower.partition(":")[0] == slower
        and share.counted.startswith(counted)
    )
    return found


def test_every_block_pairs_each_slowed_engine_with_a_native_launch() -> None:
    engines = schedule(100, 1)
    assert engines.count(NATIVE) == 400
    assert {engines.count(name) for name in SLOWED} == {100}
    for first in range(0, len(engines), BLOCK):
        block = engines[first : first + BLOCK]
        assert sorted(block[::2] + block[1::2]) == sorted((NATIVE,) * len(SLOWED) + SLOWED)
        assert all(NATIVE in pair for pair in zip(block[::2], block[1::2], strict=True))


def test_the_order_is_random_by_its_seed_alone() -> None:
    assert schedule(20, 1) == schedule(20, 1) != schedule(20, 2)
    blocks = {schedule(20, 1)[first : first + BLOCK] for first in range(0, 20 * BLOCK, BLOCK)}
    assert len(blocks) > 10


def test_the_slowed_engines_are_those_of_the_schedule() -> None:
    for name in SLOWED:
        engine = load(f"scripts.calibration.slowed:{name.title()}", what=name)
        assert f"slower{engine.share:.0%}" == f"{name}%"


def test_a_pool_is_read_as_it_was_written(tmp_path: Path) -> None:
    pool = Pool(SETTING, (), tuple(made(1)))
    write_pool(tmp_path / "pool.json", pool)
    assert read_pool(tmp_path / "pool.json") == pool
    assert [file.name for file in tmp_path.iterdir()] == ["pool.json"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"seed": 1, "launches": 3}'])
def test_what_is_no_pool_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "pool.json").write_text(text)
    with pytest.raises(UsageError, match=r"pool\.json: no pool of launches.*measure one$"):
        read_pool(tmp_path / "pool.json")


def broken_after(launches: int) -> Callable[[str], PooledLaunch]:
    """Make what measures that many launches and is then interrupted."""
    left = [PooledLaunch("", float(number), 0.5, (0.5,)) for number in range(launches)]

    def launch(engine: str) -> PooledLaunch:
        if not left:
            raise KeyboardInterrupt
        return replace(left.pop(), engine=engine)

    return launch


def test_a_neighbour_is_there_in_every_second_spell() -> None:
    beside = neighbours(10 * SPELL, seed=1)
    spells = [set(beside[first : first + SPELL]) for first in range(0, len(beside), SPELL)]
    assert all(spell == {""} for spell in spells[::2])
    assert set().union(*spells[1::2]) == {"same core", "other core"}


def test_an_interrupted_pool_is_continued_where_it_stopped(tmp_path: Path) -> None:
    path, engines = tmp_path / "pool.json", schedule(1, 1)
    nobody: Neighbour = ""
    alone = (nobody,) * len(engines)
    with pytest.raises(KeyboardInterrupt):
        measure(path, start(path, SETTING, engines, resume=False), engines, broken_after(3), alone)
    assert len(read_pool(path).launches) == 3
    measure(path, start(path, SETTING, engines, resume=True), engines, broken_after(len(engines) - 3), alone)
    pool = read_pool(path)
    assert tuple(launch.engine for launch in pool.launches) == engines
    assert [sitting.launches for sitting in pool.sittings] == [3, len(engines)]


def test_a_pool_is_not_begun_over_another(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    write_pool(path, Pool(SETTING))
    with pytest.raises(UsageError, match="continue it with --resume, or remove it"):
        start(path, SETTING, schedule(1, 1), resume=False)


@pytest.mark.parametrize(
    "other", [replace(SETTING, seed=2), replace(SETTING, case={}), replace(SETTING, machine={"cores": 4})]
)
def test_a_pool_is_not_continued_as_another(tmp_path: Path, other: Setting) -> None:
    path = tmp_path / "pool.json"
    write_pool(path, Pool(SETTING))
    with pytest.raises(UsageError, match="another; measure a new pool"):
        start(path, other, schedule(1, 1), resume=True)


def test_a_pool_is_not_continued_in_another_order(tmp_path: Path) -> None:
    path, engines = tmp_path / "pool.json", schedule(2, 1)
    write_pool(path, Pool(SETTING, (), tuple(made(2))))
    with pytest.raises(UsageError, match="not the beginning"):
        start(path, SETTING, engines[::-1], resume=True)


def test_pairs_have_the_order_of_a_session() -> None:
    for couples in (null_couples(natives(POOL)), *(slowed_couples(POOL, name) for name in SLOWED)):
        windows = paired_windows(couples)
        assert windows
        for window in windows:
            first_is_before = [couple.before.start_s < couple.after.start_s for couple in window]
            assert first_is_before == [first == "before" for first, _ in ORDER]


def test_a_slowed_launch_is_compared_with_its_neighbour() -> None:
    for name in SLOWED:
        couples = slowed_couples(POOL, name)
        assert len(couples) == 50
        assert {couple.before.engine for couple in couples} == {NATIVE}
        assert {couple.after.engine for couple in couples} == {name}
        assert all(abs(couple.after.start_s - couple.before.start_s) < 3.7 for couple in couples)


def test_no_launch_is_in_two_windows_of_one_kind() -> None:
    kinds = [
        [launch for window in paired_windows(couples) for couple in window for launch in (couple.before, couple.after)]
        for couples in (null_couples(natives(POOL)), slowed_couples(POOL, "slower3"))
    ] + [
        [launch for window in windows for session in (*window.earlier, window.now) for launch in session]
        for windows in (
            null_sessions(natives(POOL), 10, 3),
            slowed_sessions(POOL, "slower3", 10, 1),
            slowed_sessions(POOL, "slower3", 10, 3),
            slowed_sessions(POOL, "slower3", 1, 1),
        )
    ]  # fmt: skip
    for launches in kinds:
        assert len(launches) > 15
        assert len({launch.start_s for launch in launches}) == len(launches)


def test_the_new_session_is_the_last_one() -> None:
    kinds = (null_sessions(natives(POOL), 10, 3), slowed_sessions(POOL, "slower5", 10, 3))
    assert all(kinds)
    for window in (window for windows in kinds for window in windows):
        starts_s = [launch.start_s for session in (*window.earlier, window.now) for launch in session]
        assert [len(window.earlier), len(window.now), len(starts_s)] == [10, 3, 33]
        assert starts_s == sorted(starts_s)


def test_evened_launches_differ_by_noise_alone() -> None:
    alike = evened(POOL, mean_log_ratios(POOL, SLOWED))
    for name in SLOWED:
        assert mean_log_ratios(alike, SLOWED)[name] == pytest.approx(0, abs=1e-12)
    assert natives(alike) == natives(POOL)
    for before, after in zip(POOL, alike, strict=True):
        assert launch_datum(after.rounds_s) == pytest.approx(after.datum_s)
        assert (after.datum_s < before.datum_s) == (before.engine != NATIVE)


def test_true_effects_are_found(evaluation: Evaluation) -> None:
    assert [effect.engine for effect in evaluation.effects] == list(SLOWED)
    for effect in evaluation.effects:
        assert effect.low < TRUTH[effect.engine] - 1 < effect.high
        assert effect.pairs == 50
        assert effect.high - effect.low == pytest.approx(2 * 2.01 * effect.spread / 50**0.5, rel=0.15)


def test_slowdowns_are_found_and_equal_sides_raise_no_alarm(evaluation: Evaluation) -> None:
    for rule in ("paired", "stored, 10 sessions of 1 launch", "stored, 10 sessions of 3 launches"):
        assert of(evaluation, rule, NONE, "regressed").hits == 0
        assert of(evaluation, rule, EVENED, "regressed").hits == 0
        assert of(evaluation, rule, "slower10", "regressed").rate == 1
        assert of(evaluation, rule, "by the detectable effect or more", "regressed").rate > 0.9
        assert of(evaluation, rule, "all", "intervals").rate > 0.9
    assert of(evaluation, "paired", "slower5", "regressed").rate == 1
    assert of(evaluation, "paired", "slower10", "unchanged").hits == 0


def test_the_rounds_of_two_launches_differ_where_launches_do() -> None:
    noisy = evaluate(made(50, noise=0.02))
    found = {
        share.slower.partition(":")[0]: share
        for share in noisy.shares
        if share.rule.startswith("Mann-Whitney")
    }
    alarms = found[NONE]
    assert alarms.rate > 0.2
    assert found["slower10"].rate > 0.9
    assert alarms.suite == pytest.approx(1 - (1 - alarms.rate) ** 9)


def test_a_mean_beyond_five_percent_is_an_alarm(evaluation: Evaluation) -> None:
    found = {
        share.slower.partition(":")[0]: share
        for share in evaluation.shares
        if share.rule == "pytest-benchmark mean:5%"
    }
    assert found[NONE].hits == found["slower2"].hits == 0
    assert found["slower10"].rate == 1
    assert found["slower10"].suite is None


def test_windows_are_judged_as_a_session_of_one_case() -> None:
    (window, *_) = paired_windows(slowed_couples(POOL, "slower10"))
    verdict = judge_pairs(window)
    assert (verdict.kind, verdict.used, verdict.mode) == ("regressed", 12, "paired")
    (sessions, *_) = null_sessions(natives(POOL), 10, 1)
    verdict = judge_sessions(sessions)
    assert (verdict.mode, verdict.used) == ("stored", 10)
    assert verdict.confidence == pytest.approx(0.90)


def test_the_noise_of_the_machine_is_seen(evaluation: Evaluation) -> None:
    noise = evaluation.noise
    assert noise.launches == 200
    assert noise.round_spread == pytest.approx(0.01, rel=0.1)
    assert noise.pair_spread == pytest.approx(noise.launch_spread * 2**0.5, rel=0.15)
    assert abs(noise.launch_autocorrelation) < 2 * noise.chance
    drifting = evaluate(made(50, drift=0.2)).noise
    assert drifting.drift == pytest.approx(exp(0.2 * 0.4) - 1, rel=0.1)
    assert drifting.launch_autocorrelation > 0.8


def test_a_pool_that_is_too_small_is_refused() -> None:
    launches = made(LEAST_LAUNCHES // BLOCK)
    evaluate(launches)
    with pytest.raises(UsageError, match=r"measure at least 128$"):
        evaluate(launches[:-1])


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 12, 0, 0.2425), (5, 10, 0.2366, 0.7634), (12, 12, 0.7575, 1)]
)
def test_wilson_interval(hits: int, trials: int, low: float, high: float) -> None:
    assert list(wilson_interval(hits, trials)) == pytest.approx([low, high], abs=1e-4)


def test_the_committed_figures_are_those_of_the_committed_pool() -> None:
    pool = read_pool(FOLDER / "pool.json")
    assert len(pool.launches) >= 800
    assert json.loads((FOLDER / "real.json").read_text()) == as_saved(evaluate(pool.launches), pool)


def test_the_document_shows_the_committed_figures() -> None:
    assert tables(json.loads((FOLDER / "real.json").read_text())) in DOCUMENT.read_text()
