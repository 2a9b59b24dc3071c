"""What several ranks gain against what they may, and where the time of their rounds goes."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts.figures import Figures
from scripts.results_file import continued, write_results
from scripts.scaling import run
from scripts.scaling.ratios import allowed_speedup, balance, over_half, readers, speedup
from scripts.scaling.results import Results, Session, Setting, read_results
from scripts.scaling.table import gains, shares, summary

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.presets import GPT2, GPT2_MINI
from pytest_gpt_dist.parallel import Coordinates, Layout, Passes, decode_bytes

SAVED = Path(__file__).parents[2] / "scripts/results/inference_cpu.json"
SETTING = Setting("gpt2", "float32", 4, 64, 64, (1, 2))
SECONDS = st.floats(1e-6, 10)


def figures(layout: str = "dp1pp1tp1", engine: str = "native", **changed: object) -> Figures:
    """One rank that makes 100 tokens in a second, two thirds of it decoding, and wastes half of its limits."""
    whole = Figures(
        engine=engine, layout=layout, oversubscribed=False, generated_tokens=100, warmup_rounds=1,
        rounds_s=((0.9, 1.2), (0.9,)), prefill_s=0.3, decode_s=0.6, mfu=0.5, mbu=0.5,
        flops_per_s=100.0, read_bytes_per_s=30.0, collectives_per_step=0, hops_per_step=0, marks=(),
    )  # fmt: skip
    return replace(whole, **changed)  # type: ignore[arg-type]


ALONE = figures()
REPLICAS = figures("dp2pp1tp1", generated_tokens=200, flops_per_s=200.0, read_bytes_per_s=30.0)
STAGES = replace(REPLICAS, layout="dp1pp2tp1", rounds_s=((1.6,),))
TENSOR = figures(
    "dp1pp1tp2", generated_tokens=200, rounds_s=((4.0,),), collectives_per_step=26,
    communication=0.5, bubble=0.0, imbalance=0.1,
)  # fmt: skip
SESSION = Session(
    date="2026-11-21T00:00:00+00:00",
    load_before=0.5,
    cases=(ALONE, REPLICAS, STAGES, TENSOR),
    twice=replace(REPLICAS, rounds_s=((3.0,),)),
)
RESULTS = Results(SETTING, {"cpu": "made", "cores": 2}, (SESSION,))


def row(table: str, layout: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {layout} "))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_figures_of_a_saved_case_are_those_that_the_plugin_computed() -> None:
    for entry in json.loads(SAVED.read_text())["benchmarks"]:
        info = entry["extra_info"]
        found = Figures.of(info)
        assert found.tokens_per_s == pytest.approx(info["tokens_per_s"])
        assert found.prefill_s + found.decode_s == pytest.approx(found.round_s, rel=0.05)
        limits = info["limits"]["read_bytes_per_s"]  # none where ranks share cores
        assert found.read_bytes_per_s == (pytest.approx(sum(limits)) if limits else None)
        assert bool(limits) is not found.oversubscribed
        assert Figures.read(json.loads(json.dumps(asdict(found)))) == found


def test_decoding_read_its_bytes_in_its_time_at_its_share_of_the_bandwidth() -> None:
    found = Figures.of(json.loads(SAVED.read_text())["benchmarks"][0]["extra_info"])
    assert found.mbu is not None
    assert found.read_bytes_per_s is not None
    read = decode_bytes(GPT2_MINI.config.dimensions, Layout(), Coordinates(), 4, Passes([64] * 4, 64))
    assert found.mbu * found.decode_s * found.read_bytes_per_s == pytest.approx(read)


def test_what_a_library_communicates_by_itself_is_not_known() -> None:
    info = json.loads(SAVED.read_text())["benchmarks"][2]["extra_info"]
    counted, not_counted = Figures.of(info), Figures.of(info | {"collectives_per_step": None})
    assert (not_counted.collectives_per_step, not_counted.hops_per_step) == (None, None)
    assert not_counted == replace(counted, collectives_per_step=None, hops_per_step=None)


def test_a_limit_that_one_rank_lacks_is_none_of_all() -> None:
    info = json.loads(SAVED.read_text())["benchmarks"][1]["extra_info"]
    limits = info["limits"] | {"read_bytes_per_s": [1e9, None]}
    assert Figures.of(info | {"limits": limits}).read_bytes_per_s is None


def test_ranks_that_share_nothing_may_gain_their_number() -> None:
    apart = replace(REPLICAS, read_bytes_per_s=60.0)
    assert allowed_speedup(ALONE, apart) == pytest.approx(2)


def test_what_only_reads_a_shared_memory_gains_what_two_readers_do() -> None:
    reader = replace(ALONE, prefill_s=0.0, mbu=1.0)
    both = replace(REPLICAS, read_bytes_per_s=36.0)
    assert allowed_speedup(reader, both) == pytest.approx(1.2)
    assert readers(reader, both) == pytest.approx(1.2)


def test_a_model_that_fits_into_the_caches_is_not_said_to_read_more_than_all_of_its_time() -> None:
    cached = replace(ALONE, prefill_s=0.0, mbu=1.5)
    assert allowed_speedup(cached, replace(REPLICAS, read_bytes_per_s=36.0)) == pytest.approx(1.2)


def test_only_the_share_of_the_time_that_a_limit_explains_grows_as_the_limit_shrinks() -> None:
    """By hand: 0.6 s of decoding become 0.9, since half of them are read at half the speed; 2 × 0.9 ÷ 1.2."""
    assert allowed_speedup(ALONE, REPLICAS) == pytest.approx(1.5)


@given(
    alone=st.builds(
        figures,
        prefill_s=SECONDS,
        decode_s=SECONDS,
        mfu=st.floats(0, 1.2),
        mbu=st.floats(0, 1.2),
    ),
    reading=st.floats(15, 60),
    computing=st.floats(50, 200),
)
def test_what_is_allowed_lies_between_what_the_scarcer_limit_gives_and_the_number_of_ranks(
    alone: Figures, reading: float, computing: float
) -> None:
    allowed = allowed_speedup(alone, replace(REPLICAS, read_bytes_per_s=reading, flops_per_s=computing))
    assert allowed is not None
    assert min(reading / 30, computing / 100) - 1e-9 <= allowed <= 2 + 1e-9


@pytest.mark.parametrize(
    "changed", [{"oversubscribed": True}, {"read_bytes_per_s": None}, {"flops_per_s": None}]
)
def test_without_a_limit_or_a_core_for_each_rank_nothing_is_said_to_be_allowed(
    changed: dict[str, bool | None],
) -> None:
    assert allowed_speedup(ALONE, replace(REPLICAS, **changed)) is None  # type: ignore[arg-type]


def test_replicas_are_in_balance_and_stages_as_far_as_the_head_can_be_set_off_by_layers() -> None:
    passes = Passes([64] * 4, 64)
    size = GPT2.config.dimensions
    assert balance(size, Layout(dp=2), 4, passes) == 1
    assert 0.9 < balance(size, Layout(pp=2), 4, passes) < 1


def test_a_layout_reaches_its_goal_by_its_share_of_what_is_allowed() -> None:
    table = gains(RESULTS)
    assert row(table, "dp2pp1tp1") == ["200.0", "2.00", "100%", "1.00", "1.50", "133%", "100%", ""]
    assert row(table, "dp1pp2tp1")[:-2] == ["125.0", "1.25", "62%", "1.00", "1.50", "83%"]
    assert summary(RESULTS).splitlines() == [
        "dp2pp1tp1: 133% of the allowed speed-up, 100% of 2 × one rank (sessions: 1);"
        " the goal of 95% of what is allowed is reached",
        "dp1pp2tp1: 83% of the allowed speed-up, 62% of 2 × one rank (sessions: 1);"
        " the goal of 90% of what is allowed is missed",
    ]


def test_several_sessions_show_their_median_and_how_far_they_are_apart() -> None:
    slower = replace(REPLICAS, rounds_s=((2.0,),), marks=("swapped",))
    worse = replace(SESSION, cases=(ALONE, slower, STAGES, TENSOR))
    results = replace(RESULTS, sessions=(SESSION, worse, SESSION))
    cells = row(gains(results), "dp2pp1tp1")
    assert cells[1] == "2.00 (1.00 to 2.00)"
    assert cells[-1] == "swapped"


def test_the_rounds_of_a_divided_model_are_told_apart_from_half_of_the_work() -> None:
    """By hand: 1.6 s at work, where half of a replica's round of 3 s would do."""
    assert row(shares(RESULTS), "dp1pp1tp2") == ["26", "0", "50%", "0%", "10%", "40%", "1.07", ""]
    assert over_half(TENSOR, SESSION.twice) == pytest.approx(1.6 / 1.5)
    assert speedup(ALONE, TENSOR) == pytest.approx(0.5)


def test_what_a_file_holds_is_what_was_written(tmp_path: Path) -> None:
    write_results(tmp_path / "file", RESULTS)
    assert read_results(tmp_path / "file") == RESULTS
    assert continued(tmp_path / "file", Results(SETTING, RESULTS.machine), read_results) == RESULTS


@pytest.mark.parametrize(
    "change",
    [
        lambda results: replace(results, machine={"cpu": "another"}),
        lambda results: replace(results, setting=replace(SETTING, new_tokens=4)),
    ],
)
def test_a_file_of_another_setting_or_machine_is_not_continued(
    tmp_path: Path, change: Callable[[Results], Results]
) -> None:
    write_results(tmp_path / "file", change(RESULTS))
    with pytest.raises(UsageError, match="is another"):
        continued(tmp_path / "file", Results(SETTING, RESULTS.machine), read_results)


def test_the_command_measures_the_sessions_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    measured: list[Setting] = []

    def measure(setting: Setting) -> Session:
        measured.append(setting)
        return SESSION

    monkeypatch.setattr(run, "measure", measure)
    for sessions in ("1", "3"):
        arguments = ["run", "--output", str(file), "--sessions", sessions, "--ranks", "1,2"]
        monkeypatch.setattr("sys.argv", arguments)
        run.main()
    assert measured == [SETTING] * 3
    assert len(read_results(file).sessions) == 3
    monkeypatch.setattr("sys.argv", ["run", "--table", str(file)])
    run.main()
    assert "of 2 × one rank (sessions: 3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "/nowhere"], "/nowhere: no results of this script"),
        (["--output", "/nowhere/file", "--model", "gpt2-xxl"], "did you mean gpt2-xl"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run", *arguments])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_document_shows_the_committed_figures() -> None:
    root = Path(__file__).parents[2]
    document = (root / "docs/performance.md").read_text()
    for name in ("scaling_cpu", "scaling_gpt2_cpu"):
        results = read_results(root / f"scripts/results/{name}.json")
        assert all(table(results) in document for table in (gains, shares, summary)), name
