"""What the doctor says of the hub, which real servers stand for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from pytest_gpt_dist.doctor.hub import hub, look_at_hub

CLOSED = "http://127.0.0.1:9"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a server that gives one answer to everybody."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 404 Not Found\r\n\r\n"])
def test_a_hub_that_answers_is_ready_and_its_folder_need_not_be_there(tmp_path: Path, answer: bytes) -> None:
    with answering(answer) as endpoint:
        found = hub(tmp_path / "new" / "hub", endpoint, offline=False)
    assert (found.state, found.seen) == ("ok", f"{endpoint} answers; models are kept in {tmp_path}/new/hub")
    assert not (tmp_path / "new").exists()


def test_models_that_cannot_be_kept_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with answering(b"HTTP/1.0 200 OK\r\n\r\n") as endpoint:
        found = hub(tmp_path / "file" / "hub", endpoint, offline=False)
    assert found.state == "warning"
    assert f"{tmp_path}/file: Not a directory" in found.seen
    assert "HF_HOME" in found.remedy


def test_one_that_talks_nonsense_or_is_none_is_a_warning(tmp_path: Path) -> None:
    with answering(b"garbage\r\n\r\n") as endpoint:
        assert hub(tmp_path, endpoint, offline=False).seen.startswith(f"{endpoint} does not answer (garbage)")
    assert hub(tmp_path, CLOSED, offline=False).state == "warning"
    assert "does not answer (unknown url type" in hub(tmp_path, "nowhere", offline=False).seen


def test_offline_nobody_is_asked_and_the_folder_is_what_counts(tmp_path: Path) -> None:
    assert hub(tmp_path, "nowhere", offline=True).state == "ok"
    found = hub(tmp_path / "gone", "nowhere", offline=True)
    assert (found.state, f"no folder {tmp_path}/gone" in found.seen) == ("warning", True)


def test_what_transformers_reads_is_what_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert look_at_hub().seen == f"offline by the environment: models come from {tmp_path}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    assert look_at_hub().seen.startswith(f"{CLOSED} does not answer")
