import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.cluster.failure import (
    Died,
    Finished,
    Outcome,
    RankGroupError,
    RankReport,
    Silent,
    Unfinished,
    bytes_wanted,
    group_failure,
    human_bytes,
)
from pytest_gpt_dist.cluster.messages import Raised

BOOM = Raised(
    "ValueError: boom", "Traceback\nValueError: boom", out_of_memory=False, from_communication=False
)
LOST = Raised("RuntimeError: closed by peer", "…", out_of_memory=False, from_communication=True)
FULL = Raised(
    "OutOfMemoryError: …",
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0",
    out_of_memory=True,
    from_communication=False,
)
KILLED = Died(-signal.SIGKILL)


def failure(*outcomes: Outcome, order: tuple[int, ...] = ()) -> RankGroupError:
    reports = [RankReport(rank, 100 + rank, outcome) for rank, outcome in enumerate(outcomes)]
    return group_failure(reports, order)


@pytest.mark.parametrize(
    ("outcomes", "order", "kind", "ranks"),
    [
        ((Unfinished(), BOOM), (1,), "exception", (1,)),
        ((BOOM, BOOM), (1, 0), "exception", (1,)),
        ((LOST, KILLED), (0, 1), "death", (1,)),
        ((LOST, BOOM), (0, 1), "exception", (1,)),
        ((LOST, LOST), (1, 0), "exception", (1,)),
        ((KILLED, Died(-signal.SIGABRT)), (0, 1), "death", (0,)),
        ((Finished(), FULL), (1,), "memory", (1,)),
        ((Died(-signal.SIGKILL, oom_killer_struck=True), LOST), (1, 0), "memory", (0,)),
        ((Died(-signal.SIGSEGV, oom_killer_struck=True), LOST), (1, 0), "death", (0,)),
        ((Silent(5.0), Silent(5.5), Finished()), (), "silence", (0, 1)),
        ((Silent(5.0), BOOM), (1,), "exception", (1,)),
    ],
)
def test_who_is_to_blame(
    outcomes: tuple[Outcome, ...], order: tuple[int, ...], kind: str, ranks: tuple[int, ...]
) -> None:
    error = failure(*outcomes, order=order)
    assert (error.kind, error.ranks) == (kind, ranks)


def test_the_report_has_a_block_for_each_rank() -> None:
    text = str(failure(Unfinished(), BOOM, Finished(), order=(1,)))
    assert text.splitlines()[0] == "rank 1 raised ValueError: boom"
    assert "--- rank 0, pid 100: still at work" in text
    assert "--- rank 1, pid 101: raised ValueError: boom\nTraceback" in text
    assert "--- rank 2, pid 102: had finished" in text


def test_a_limit_of_memory_that_the_kernel_kept_is_named() -> None:
    error = failure(Died(-signal.SIGKILL, oom_killer_struck=True, limit_bytes=2**26), LOST, order=(1, 0))
    assert error.kind == "memory"
    line = str(error).splitlines()[0]
    assert "was killed by SIGKILL while the kernel's out-of-memory killer was at work" in line
    assert "the memory limit of this container or service is 64.00 MiB; lower the batch size" in line


def test_a_failed_start_names_what_of_the_machine_was_in_its_way() -> None:
    error = group_failure(
        [RankReport(0, 1, Silent(3.0))], [], starting=True, unmet=["no free port: end some"]
    )
    line = "1 rank could not start: rank 0 was silent for 3.0 s; no free port: end some"
    assert str(error).splitlines()[0] == line


def test_a_failed_start_says_so_first() -> None:
    error = group_failure([RankReport(0, 1, BOOM)], [0], starting=True)
    assert error.kind == "start"
    assert str(error).startswith("1 rank could not start: rank 0 raised ValueError: boom")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error code 12", 4096),
        (
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.00 GiB",
            20 * 2**20,
        ),
        ("Unable to allocate 1.50 GiB for an array with shape (402653184,) and data type float32", 3 * 2**29),
        ("something else of 5 GiB", None),
        ("", None),
    ],
)
def test_bytes_wanted_are_read_from_messages(message: str, wanted: int | None) -> None:
    assert bytes_wanted(message) == wanted


@given(count=st.integers(0, 2**50))
def test_bytes_for_people_can_be_read_back(count: int) -> None:
    back = bytes_wanted(f"Tried to allocate {human_bytes(count)}")
    assert back is not None
    assert abs(back - count) <= count * 0.01
