"""How ranks are placed on machines."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.world import Slot, World, shares_of

ROOMS = st.lists(st.integers(1, 8), min_size=1, max_size=6)


def world(rooms: list[int], *, kernels: bool = True, cores: int = 8) -> World:
    """Machines with so much room each; without `kernels` of their own, they share all cores."""
    return World(
        tuple(
            Slot(
                machine,
                f"machine {machine}",
                local,
                f"kernel {machine * kernels}",
                Cores(tuple(range(cores))),
            )
            for machine, room in enumerate(rooms)
            for local in range(room)
        )
    )


@given(ROOMS, st.data())
def test_every_rank_has_a_slot_of_its_own_in_order(rooms: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, sum(rooms)))
    placed = world(rooms).placed(count)
    assert len(set(placed)) == count
    assert list(placed) == sorted(placed)
    shares = shares_of(count, rooms)
    assert sum(shares) == count
    assert all(share <= room for share, room in zip(shares, rooms, strict=True))


def test_equal_parts_keep_tensor_groups_inside_machines() -> None:
    assert shares_of(4, [3, 3]) == [2, 2]
    assert world([3, 3]).cut_tensor_groups(4, 2) == 0
    assert world([3, 3]).cut_tensor_groups(6, 2) == 1
    assert world([2, 2]).cut_tensor_groups(4, 4) == 1
    assert world([2, 2]).machines(2) == 1
    assert world([2, 2]).interconnect(4) == "network"


def test_machines_of_one_kernel_share_its_cores() -> None:
    assert world([2, 2], kernels=False, cores=4).cores(4, 1) == ((0,), (1,), (2,), (3,))
    assert world([2, 2], cores=4).cores(4, 1) == ((0,), (1,), (0,), (1,))
    assert world([2, 2], kernels=False, cores=2).oversubscribed(4, 1)
    assert not world([2, 2], cores=2).oversubscribed(4, 1)
