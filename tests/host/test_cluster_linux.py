import mmap
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from patience import FOREVER_S, HANG_S
from pytest_gpt_dist.host.linux import (
    go_first_when_out_of_memory,
    living_members,
    mapped_shared_memory,
    process_state,
    shared_memory_files,
    thread_names,
)

MAPS = """\
7f1c00000000-7f1c00021000 rw-p 00000000 00:00 0
7f1c10000000-7f1c10001000 rw-s 00000000 00:1b 5    /dev/shm/torch_12_34_0
7f1c10001000-7f1c10002000 rw-s 00001000 00:1b 5    /dev/shm/torch_12_34_0
7f1c20000000-7f1c20001000 rw-s 00000000 00:1b 6    /dev/shm/nccl-AbCdEf (deleted)
7f1c30000000-7f1c30001000 rw-s 00000000 00:1b 7    /dev/shm/a name with spaces
7f1c40000000-7f1c40001000 r--p 00000000 fd:00 8    /usr/lib/not/dev/shm/lib.so
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0    [stack]
"""


def test_shared_memory_that_still_has_a_name_is_found_in_maps() -> None:
    assert shared_memory_files(MAPS) == {"/dev/shm/torch_12_34_0", "/dev/shm/a name with spaces"}


def test_shared_memory_of_a_living_process_is_found() -> None:
    path = Path(f"/dev/shm/gpt-dist-test-{uuid.uuid4().hex}")
    path.write_bytes(b"\0" * 4096)
    try:
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096):
            assert str(path) in mapped_shared_memory(os.getpid())
    finally:
        path.unlink()


@pytest.mark.parametrize("look", [process_state, mapped_shared_memory])
def test_a_process_that_is_gone_is_no_error(look: object) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(HANG_S)
    assert not look(process.pid)  # type: ignore[operator]


def test_members_of_a_process_group_are_found_while_they_live() -> None:
    process = subprocess.Popen(["sleep", str(FOREVER_S)], start_new_session=True)
    assert living_members([process.pid]) == {process.pid}
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert living_members([process.pid]) == set()
    process.wait(HANG_S)


def test_the_names_of_threads_are_those_the_kernel_knows() -> None:
    assert len(thread_names()) == len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize(("before", "after"), [("0", "500"), ("-200", "300"), ("900", "1000")])
def test_a_rank_offers_itself_to_the_out_of_memory_killer(tmp_path: Path, before: str, after: str) -> None:
    score = tmp_path / "oom_score_adj"
    score.write_text(f"{before}\n")
    go_first_when_out_of_memory(tmp_path)
    assert score.read_text() == after


def test_a_kernel_that_takes_no_offers_is_no_failure(tmp_path: Path) -> None:
    go_first_when_out_of_memory(tmp_path / "gone")
