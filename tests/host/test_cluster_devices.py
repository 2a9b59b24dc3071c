from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.host.gpus import Gpu, driver_version, installed_gpus, visible_gpus

UUIDS = ("GPU-1a2b3c00", "GPU-1a2b9d11", "GPU-77e8f922", "GPU-c0ffee33")
GPUS = tuple(Gpu(index, uuid, "H200", 141 * 2**30) for index, uuid in enumerate(UUIDS))


def shown(value: str | None, gpus: Sequence[Gpu] = GPUS) -> list[int]:
    return [gpu.index for gpu in visible_gpus(value, gpus)]


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("2", [2]),
        ("3,0", [3, 0]),
        (" 1 , 2 ", [1, 2]),
        ("0,9,1", [0]),
        ("-1,0", []),
        ("0,-1,1", [0]),
        ("NoDevFiles", []),
        ("0,0", []),
        ("1,GPU-1a2b9", []),
        ("GPU-77", [2]),
        ("GPU-c0ffee33,GPU-77e8f922", [3, 2]),
        ("GPU-1a2b,0", []),
        ("0,GPU-1a2b,1", [0]),
        ("GPU-dead,0", []),
        ("2gpu,1", [2, 1]),
        ("MIG-77e8f922-1/0,0", []),
    ],
)
def test_cuda_visible_devices(value: str | None, indices: list[int]) -> None:
    assert shown(value) == indices


@given(
    order=st.permutations(range(4)),
    count=st.integers(0, 4),
    by_uuid=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_any_selection_by_index_or_uuid_is_shown_in_its_order(
    order: list[int], count: int, by_uuid: list[bool]
) -> None:
    chosen = order[:count]
    value = ",".join(UUIDS[index] if by_uuid[index] else str(index) for index in chosen)
    assert shown(value) == chosen


@given(
    order=st.permutations(range(4)),
    position=st.integers(0, 4),
    bad=st.sampled_from(["4", "-1", "x", "GPU-", ""]),
)
def test_an_entry_that_names_no_gpu_hides_itself_and_all_after_it(
    order: list[int], position: int, bad: str
) -> None:
    entries = [str(index) for index in order]
    entries.insert(position, bad)
    assert shown(",".join(entries)) == order[:position]


@given(value=st.text(alphabet="0123 ,-GPU1a2b", max_size=30))
def test_every_gpu_is_shown_at_most_once(value: str) -> None:
    indices = shown(value)
    assert len(indices) == len(set(indices))


def test_without_gpus_nothing_is_visible() -> None:
    assert shown(None, ()) == shown("0", ()) == []


def test_a_driver_and_its_gpus_come_together() -> None:
    gpus = installed_gpus()
    assert (driver_version() is None) <= (not gpus)
    assert [gpu.index for gpu in gpus] == list(range(len(gpus)))
    assert all(gpu.memory_bytes > 0 and gpu.uuid.startswith("GPU-") for gpu in gpus)
