"""Which faults a soak chooses; the soak itself runs by `make soak`."""

import re

from soak.faults import DAMAGES, KINDS, SHARED, choose, in_sessions
from soak.injections import DAMAGE, INJECTIONS


def test_a_seed_and_a_number_are_always_the_same_fault() -> None:
    assert choose(3, 70, KINDS)[:20] == choose(3, 20, KINDS)
    assert choose(3, 20, KINDS) != choose(4, 20, KINDS)


def test_every_kind_comes_before_any_comes_again() -> None:
    faults = choose(0, 2 * len(KINDS), KINDS)
    assert {fault.kind for fault in faults[: len(KINDS)]} == set(KINDS)
    assert [fault.number for fault in faults] == list(range(1, 2 * len(KINDS) + 1))


def test_faults_share_a_session_where_each_hits_another_case() -> None:
    faults = choose(0, 200, KINDS)
    sessions = in_sessions(faults)
    assert sorted(fault.number for hosted in sessions for fault in hosted) == [each.number for each in faults]
    shared = [hosted for hosted in sessions if len(hosted) > 1]
    assert shared
    for hosted in shared:
        assert len({fault.case for fault in hosted}) == len(hosted) <= SHARED
        assert {fault.kind.scope for fault in hosted} == {"case"}


def test_every_kind_can_be_carried_out_and_judged() -> None:
    for kind in KINDS:
        assert kind.inject.partition(":")[0] in {*INJECTIONS, "started", "network"}, kind.name
        re.compile(kind.cause)
    assert set(DAMAGE) == set(DAMAGES)
