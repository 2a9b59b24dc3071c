"""The figures: from times of rounds to numbers."""

import pickle
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import inf
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from pytest_gpt_dist.compare.statistics import student_quantile
from pytest_gpt_dist.inference.engines.protocol import Request
from pytest_gpt_dist.inference.metrics import seconds_per_token, throughput_metrics
from pytest_gpt_dist.inference.times import BatchTimes, Round
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.statistics import (
    LatencySummary,
    efficiency,
    enough_rounds,
    relative_half_width,
    speedup,
    student_95,
    summarize,
    throughput,
)
from pytest_gpt_dist.session.virtual_clock import VirtualClock

DURATIONS = st.floats(1e-6, 1e3)
ADAPTIVE = Timing(warmup=1, rounds=None, min_rounds=3, max_time_s=5.0)


def requests_of(*new_tokens: int, prompt_tokens: int = 2) -> list[Request]:
    return [Request(index, (1,) * prompt_tokens, count) for index, count in enumerate(new_tokens)]


def one_batch(*tokens_s: float, request: int = 0) -> BatchTimes:
    return BatchTimes(((request,),), (tokens_s,))


@settings(deadline=None)
@given(rounds_s=st.lists(DURATIONS, min_size=1), counts=st.lists(st.integers(1, 99), min_size=1))
def test_a_sample_is_a_rounds_seconds_by_all_tokens_of_the_world(
    rounds_s: list[float], counts: list[int]
) -> None:
    samples = seconds_per_token(rounds_s, requests_of(*counts))
    assert samples == [round_s / sum(counts) for round_s in rounds_s]


@settings(deadline=None)
@given(samples=st.lists(DURATIONS, min_size=1))
def test_tokens_per_second_are_the_ops_of_pytest_benchmark(samples: list[float]) -> None:
    stats = Stats()  # type: ignore[no-untyped-call]
    for sample in samples:
        stats.update(sample)  # type: ignore[no-untyped-call]
    assert throughput(samples) == pytest.approx(stats.ops, rel=1e-12)


@settings(deadline=None)
@given(samples=st.lists(DURATIONS, min_size=1))
def test_the_clock_shows_pytest_benchmark_each_sample_to_the_last_bit(samples: list[float]) -> None:
    clock = VirtualClock()
    clock.load(samples)
    shown = []
    for _ in samples:
        clock.rewind()
        start = clock()
        clock.step()
        shown.append(clock() - start)
    assert shown == samples


@settings(deadline=None)
@given(values=st.lists(DURATIONS, min_size=1))
def test_percentiles_are_interpolated_linearly(values: list[float]) -> None:
    summary = summarize(values)
    expected = np.percentile(values, [50, 95, 99])
    assert [summary.p50, summary.p95, summary.p99] == pytest.approx(list(expected), rel=1e-9)
    assert float(summary) == summary.mean == pytest.approx(mean(values))


def test_a_latency_is_a_number_that_keeps_its_percentiles_on_its_way() -> None:
    summary = LatencySummary(2.0, 1.0, 3.0, 4.0)
    travelled = pickle.loads(pickle.dumps(summary))
    assert summary * 2 == 4.0
    assert travelled.as_dict() == {"mean": 2.0, "p50": 1.0, "p95": 3.0, "p99": 4.0}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Round], list[Request], dict[int, Sequence[float]]]:
    """Rounds of replicas with several batches of several microbatches; and the token times of each request."""
    requests: list[Request] = []
    times: dict[int, Sequence[float]] = {}
    replicas: list[tuple[BatchTimes, ...]] = []
    for _ in range(draw(st.integers(1, 3))):
        batches = []
        for _ in range(draw(st.integers(0 if replicas else 1, 2))):
            lanes, lane_times = [], []
            for _ in range(draw(st.integers(1, 3))):
                counts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
                # Every microbatch has its first token before any has its second.
                first_s, later = draw(st.floats(0.01, 0.1)), max(counts) - 1
                gaps_s = draw(st.lists(st.floats(0.1, 1), min_size=later, max_size=later))
                tokens_s = tuple(accumulate([first_s, *gaps_s]))
                lanes.append(tuple(range(len(requests), len(requests) + len(counts))))
                lane_times.append(tokens_s)
                for count in counts:
                    times[len(requests)] = tokens_s[:count]
                    requests.append(Request(len(requests), (1, 2), count))
            batches.append(BatchTimes(tuple(lanes), tuple(lane_times)))
        replicas.append(tuple(batches))
    return [Round(draw(DURATIONS), tuple(replicas))], requests, times


@settings(deadline=None)
@given(world=worlds())
def test_latencies_are_those_of_each_requests_own_tokens(
    world: tuple[list[Round], list[Request], dict[int, Sequence[float]]],
) -> None:
    rounds, requests, times = world
    figures = throughput_metrics(rounds, requests, gpus=1)
    several = [each for each in times.values() if len(each) > 1]
    assert figures.latency_s == pytest.approx(mean(each[-1] for each in times.values()))
    assert figures.ttft_s == pytest.approx(mean(each[0] for each in times.values()))
    if not several:
        assert figures.tpot_s is figures.itl_s is None
        return
    assert figures.tpot_s == pytest.approx(mean((each[-1] - each[0]) / (len(each) - 1) for each in several))
    assert figures.itl_s == pytest.approx(mean(b - a for each in several for a, b in pairwise(each)))


@settings(deadline=None)
@given(gaps=st.lists(st.floats(0.01, 1), min_size=2, max_size=30))
def test_the_first_token_and_the_gaps_add_up_to_the_latency(gaps: list[float]) -> None:
    figures = throughput_metrics(
        [Round(1.0, ((one_batch(*accumulate(gaps)),),))], requests_of(len(gaps)), gpus=1
    )
    assert figures.tpot_s is not None
    assert figures.itl_s is not None
    steps = len(gaps) - 1
    assert figures.ttft_s + steps * figures.itl_s == pytest.approx(figures.latency_s)
    assert figures.ttft_s + steps * figures.tpot_s == pytest.approx(figures.latency_s)


def test_a_request_in_a_later_batch_counts_from_its_own_batchs_start() -> None:
    batches = (one_batch(0.1, 0.2, request=0), one_batch(0.3, 0.5, request=1))
    figures = throughput_metrics([Round(0.7, (batches,))], requests_of(2, 2), gpus=1)
    assert figures.ttft_s == pytest.approx(0.2)
    assert figures.latency_s == pytest.approx(0.35)


def test_a_request_that_wants_less_than_its_microbatch_ends_earlier() -> None:
    batch = BatchTimes(((0, 1),), ((0.1, 0.2, 0.6),))
    figures = throughput_metrics([Round(0.6, ((batch,),))], requests_of(3, 1), gpus=1)
    assert figures.latency_s == pytest.approx((0.6 + 0.1) / 2)
    assert figures.itl_s == pytest.approx(0.25)


def test_a_pipelines_prefill_lasts_until_its_last_microbatch_has_a_token() -> None:
    batch = BatchTimes(((0,), (1,)), ((0.1, 0.3), (0.2, 0.4)))
    figures = throughput_metrics([Round(0.4, ((batch,),))], requests_of(2, 2, prompt_tokens=5), gpus=2)
    assert figures.prefill_tokens_per_s == pytest.approx(10 / 0.2)
    assert figures.decode_tokens_per_s == pytest.approx(2 / 0.2)


def test_prefill_and_decode_of_several_batches_add_up() -> None:
    batches = (one_batch(0.1, 0.3, request=0), one_batch(0.2, 0.5, request=1))
    figures = throughput_metrics([Round(0.8, (batches,))], requests_of(2, 2, prompt_tokens=5), gpus=1)
    assert figures.prefill_tokens_per_s == pytest.approx(10 / 0.3)
    assert figures.decode_tokens_per_s == pytest.approx(2 / 0.5)


def test_a_worlds_prefill_takes_as_long_as_its_slowest_replicas() -> None:
    replicas = ((one_batch(0.1, 0.2, request=0),), (one_batch(0.4, 0.5, request=1),))
    figures = throughput_metrics([Round(0.5, replicas)], requests_of(2, 2, prompt_tokens=5), gpus=2)
    assert figures.prefill_tokens_per_s == pytest.approx(10 / 0.4)


def test_a_replica_without_requests_slows_nobody() -> None:
    figures = throughput_metrics([Round(0.2, ((one_batch(0.1, 0.2),), ()))], requests_of(2), gpus=2)
    assert figures.ttft_s == pytest.approx(0.1)


def test_one_new_token_has_neither_gaps_nor_a_decode() -> None:
    figures = throughput_metrics([Round(0.1, ((one_batch(0.1),),))], requests_of(1), gpus=1)
    assert (figures.tpot_s, figures.itl_s, figures.decode_tokens_per_s) == (None, None, None)


def test_throughput_by_device_is_its_share() -> None:
    figures = throughput_metrics([Round(0.5, ((one_batch(0.1, 0.5),),))], requests_of(2), gpus=4)
    assert figures.tokens_per_s == pytest.approx(4.0)
    assert figures.tokens_per_s_per_gpu == pytest.approx(1.0)


def test_efficiency_is_the_speed_up_by_device() -> None:
    assert speedup(300.0, 100.0) == 3.0
    assert efficiency(3.0, 4) == 0.75


@settings(deadline=None)
@given(rounds_s=st.lists(DURATIONS, max_size=20), count=st.integers(1, 20))
def test_a_fixed_count_of_rounds_is_kept_to(rounds_s: list[float], count: int) -> None:
    timing = Timing(warmup=0, rounds=count, min_rounds=50, max_time_s=1e-9)
    assert enough_rounds(rounds_s, sum(rounds_s), timing) == (len(rounds_s) >= count)


@settings(deadline=None)
@given(round_s=st.floats(1e-3, 1), count=st.integers(0, 3))
def test_steady_rounds_end_at_the_least_count(round_s: float, count: int) -> None:
    assert enough_rounds([round_s] * count, count * round_s, ADAPTIVE) == (count >= 3)


def test_noisy_rounds_go_on_until_time_is_up() -> None:
    noisy = [0.5, 1.0] * 3
    assert not enough_rounds(noisy, 4.9, ADAPTIVE)
    assert enough_rounds(noisy, 5.0, ADAPTIVE)


def test_the_least_count_is_kept_even_when_time_is_up() -> None:
    assert not enough_rounds([100.0, 100.0], 200.0, ADAPTIVE)


def test_a_single_round_is_never_precise() -> None:
    timing = Timing(warmup=0, rounds=None, min_rounds=1, max_time_s=5.0)
    assert not enough_rounds([0.1], 0.1, timing)
    assert relative_half_width([0.1]) == inf


def test_the_means_interval_is_students() -> None:
    # scipy.stats.t.interval(0.95, 2, loc=2, scale=1 / sqrt(3)) is 2 ± 2.4841
    assert relative_half_width([1.0, 2.0, 3.0]) == pytest.approx(2.4841 / 2, rel=1e-3)


def test_students_quantile_is_that_of_scipy_for_every_count_of_rounds() -> None:
    assert round(student_95(11), 3) == 2.201  # twelve rounds
    for freedom in (*range(1, 200), 1_000, 1_000_000):
        assert student_95(freedom) == pytest.approx(student_quantile(0.975, freedom), rel=3e-4), freedom


@settings(deadline=None)
@given(values=st.lists(st.floats(0.1, 10), min_size=2, max_size=40), factor=st.floats(0.01, 100))
def test_precision_does_not_depend_on_the_unit(values: list[float], factor: float) -> None:
    scaled = [value * factor for value in values]
    assert relative_half_width(scaled) == pytest.approx(relative_half_width(values), rel=1e-6, abs=1e-9)
