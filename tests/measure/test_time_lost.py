"""Where the time of a round goes that is nobody's work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.measure.time_lost import Overheads, other, overheads, time_lost
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.comm_time import CommTime

SECONDS = st.floats(1e-6, 10)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=5))
def test_a_collective_takes_what_its_last_rank_spends_in_it_and_the_rest_is_waiting(
    calls: list[tuple[float, float]],
) -> None:
    comm_times = [CommTime(tuple(call[rank] for call in calls), 2.0) for rank in (0, 1)]
    found = overheads(Layout(tp=2), [100.0, 100.0], comm_times)
    assert found is not None
    assert found.communication_s == pytest.approx(sum(map(min, calls)))
    assert found.imbalance_s == pytest.approx(sum(abs(one - other) / 2 for one, other in calls), abs=1e-9)
    assert found.bubble_s == 2


def test_ranks_of_other_groups_do_not_wait_for_each_other_in_a_collective() -> None:
    comm_times = [CommTime((seconds,)) for seconds in (1.0, 1.0, 3.0, 3.0)]
    assert overheads(Layout(dp=2, tp=2), [9.0] * 4, comm_times) == Overheads(2.0, 0.0, 0.0)


def test_all_wait_for_the_slowest_at_the_end() -> None:
    assert overheads(Layout(dp=2), [3.0, 4.0], [CommTime(), CommTime()]) == Overheads(0.0, 0.0, 0.5)


def test_ranks_that_did_not_communicate_alike_have_no_overheads() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        overheads(Layout(tp=2), [9.0, 9.0], [CommTime((1.0,)), CommTime((1.0, 1.0))])


def test_what_a_rank_cannot_tell_is_not_known_of_any() -> None:
    assert overheads(Layout(tp=2), [9.0, 9.0], [CommTime((1.0,)), None]) is None
    shares = time_lost([2.0, 2.0], [Overheads(1.0, 0.0, 0.0), None])
    assert set(shares.values()) == {None}
    assert other(shares, 0.5) is None


def test_shares_are_those_of_all_rounds_together() -> None:
    shares = time_lost([1.0, 3.0], [Overheads(0.5, 0.0, 0.1), Overheads(0.5, 0.0, 0.3)])
    assert shares == {
        "communication": 0.25,
        "bubble": 0.0,
        "imbalance": pytest.approx(0.1),
        "host": None,
        "other": None,
    }
    assert other(shares, 0.5) == pytest.approx(0.15)
    assert other(shares, None) is None


DELAY_S = 0.6


def slow_to_come() -> tuple[CommTime | None, CommTime | None]:
    import time  # noqa: PLC0415

    import torch  # noqa: PLC0415

    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    me = this_rank()
    divided, staged = Mesh(Layout(tp=2), me), Mesh(Layout(pp=2), me)
    divided.all_reduce(torch.zeros(1))
    divided.read_comm_time()
    time.sleep(DELAY_S * me.rank)
    divided.all_reduce(torch.zeros(1))
    if me.rank:
        time.sleep(DELAY_S)
        staged.send_tokens(torch.zeros(1, dtype=torch.int64))
    else:
        staged.expect_tokens((1,)).take()
    staged.settle()
    return divided.read_comm_time(), staged.read_comm_time()


def test_a_rank_notes_how_long_it_waits_for_another() -> None:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        (early, waits), (late, sends) = cluster.group(2).run(slow_to_come)
    assert len(early.collectives_s) == len(late.collectives_s) == 1
    assert early.collectives_s[0] > late.collectives_s[0] + DELAY_S / 2
    assert waits.hops_s > sends.hops_s + DELAY_S / 2
    assert early.hops_s == late.hops_s == 0
