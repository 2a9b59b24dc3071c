"""Devices that one session has at a time."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.leases import lease

NAMES = ("core-0", "core-1", "core-2")


def test_sessions_have_devices_of_their_own(tmp_path: Path) -> None:
    said: list[str] = []
    with lease(NAMES, 1, 0, said.append, tmp_path) as one, lease(NAMES, 2, 0, said.append, tmp_path) as other:
        assert one.numbers == (0,)
        assert other.numbers == (1, 2)
    with lease(NAMES, 3, 0, said.append, tmp_path) as everything:
        assert everything.numbers == (0, 1, 2)
    assert said == []


def test_who_waits_says_so_once_and_gives_up_with_a_line(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        lease(NAMES, 2, 0, said.append, tmp_path),
        pytest.raises(UsageError, match=r"2 of core-0, core-1, core-2 were not free within 0\.5 s"),
    ):
        lease(NAMES, 2, 0.5, said.append, tmp_path)
    assert said == ["waiting for other sessions to free 2 devices of core-0, core-1, core-2"]
    lease(NAMES, 3, 0, said.append, tmp_path).release()  # and who gave up holds nothing


def test_who_waits_gets_what_is_freed(tmp_path: Path) -> None:
    held = lease(NAMES, 3, 0, print, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lease, NAMES, 2, 30, lambda text: held.release(), tmp_path)
        assert waiting.result(30).numbers == (0, 1)
        waiting.result().release()


def take_turns(folder: Path, count: int) -> None:
    for _ in range(5):
        with lease(NAMES, count, 60, lambda text: None, folder):
            time.sleep(0.01)


def test_who_needs_several_never_waits_for_ever(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=take_turns, args=(tmp_path, count)) for count in (2, 2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def die_with(folder: Path) -> None:
    lease(NAMES, 3, 0, print, folder)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_dead_session_holds_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=die_with, args=(tmp_path,))
    process.start()
    process.join(60)
    lease(NAMES, 3, 0, print, tmp_path).release()


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="devices cannot be locked there"):
        lease(NAMES, 1, 0, print, tmp_path / "file")
