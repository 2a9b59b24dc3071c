"""A server of another version: found out from its greeting, in one line, before anything is asked of it."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_gpt_dist.ab import other_side
from pytest_gpt_dist.cluster import OWN, RankGroup, RankGroupError, Side
from pytest_gpt_dist.cluster.about import JOB_VERSION
from pytest_gpt_dist.cluster.launcher import LaunchError, OtherVersionError
from pytest_gpt_dist.cluster.local.client import LocalServer
from pytest_gpt_dist.cluster.wire import PROTOCOL_VERSION, UNASKED, encode
from pytest_gpt_dist.errors import UsageError

SERVER = """
import socket, sys
socket.socket(fileno=int(sys.argv[sys.argv.index("--socket") + 1])).sendall({frame!r})
"""
MOVED = b"cno.such.module\nHello\n."


def package(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """A package of our name in another version; the environment in which an interpreter finds it."""
    for name, text in files.items():
        file = folder / "pytest_gpt_dist" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return dict(os.environ) | {"PYTHONPATH": str(folder)}


def server(frame: bytes) -> dict[str, str]:
    return {"__init__.py": "", "cluster/__init__.py": "", "cluster/server.py": SERVER.format(frame=frame)}


@pytest.mark.parametrize(
    ("files", "said", "newer"),
    [
        ({"__init__.py": ""}, "finds no module pytest_gpt_dist.cluster.server", False),
        (
            {"__init__.py": "", "cluster/__init__.py": ""},
            "finds no module pytest_gpt_dist.cluster.server",
            False,
        ),
        (
            server(encode(UNASKED, b"", version=PROTOCOL_VERSION - 1)),
            f"speaks version {PROTOCOL_VERSION - 1}",
            False,
        ),
        (
            server(encode(UNASKED, b"", version=PROTOCOL_VERSION + 1)),
            f"speaks version {PROTOCOL_VERSION + 1}",
            True,
        ),
        (server(encode(UNASKED, MOVED)), "cannot be read here: ModuleNotFoundError", False),
        (server(encode(UNASKED, pickle.dumps(("hello", 3)))), "greets with a tuple", False),
    ],
    ids=["no cluster", "no server", "older", "newer", "moved", "strange"],
)
def test_a_server_of_another_version(tmp_path: Path, files: dict[str, str], said: str, newer: bool) -> None:
    with pytest.raises(OtherVersionError, match=said) as error:
        LocalServer(package(tmp_path, files), tmp_path, timeout_s=60)
    assert error.value.newer == newer


def test_a_server_that_fails_for_its_own_reasons_is_of_no_other_version(tmp_path: Path) -> None:
    broken = {"__init__.py": "", "cluster/__init__.py": "", "cluster/server.py": "import no_such_library"}
    with pytest.raises(LaunchError, match="No module named 'no_such_library'") as error:
        LocalServer(package(tmp_path, broken), tmp_path, timeout_s=60)
    assert not isinstance(error.value, OtherVersionError)


class Started:
    """A group as far as it has told of itself."""

    def __init__(self, job_version: int) -> None:
        self.about = {"job_version": job_version, "pytest_gpt_dist": "9.9", "prefix": "/elsewhere"}


def starting(group: Started | LaunchError) -> Callable[[Side], RankGroup]:
    def one_rank(side: Side) -> RankGroup:
        if isinstance(group, Started):
            return group  # type: ignore[return-value]
        raise RankGroupError("start", (), f"1 rank could not start: {group}") from group

    return one_rank


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (
            OtherVersionError("it finds no module"),
            "too old: it finds no module; compare with a newer revision",
        ),
        (OtherVersionError("it speaks", newer=True), "too new: it speaks; compare with an older revision"),
        (Started(JOB_VERSION - 1), "too old: its pytest-gpt-dist, 9.9, describes cases in another way"),
        (Started(JOB_VERSION + 1), "too new: its pytest-gpt-dist, 9.9, describes cases in another way"),
        (LaunchError("one\ntwo\nthree"), "its ranks do not start: 1 rank could not start: one three"),
    ],
    ids=["missing", "protocol", "older jobs", "newer jobs", "broken"],
)
def test_another_version_is_one_line(group: Started | LaunchError, said: str) -> None:
    named = other_side.Named("v1", revision="0" * 40)
    with pytest.raises(UsageError) as error:
        other_side._versions(named, OWN, starting(group))
    assert str(error.value).startswith(f"--gpt-against=v1: {said}")
    assert "\n" not in str(error.value)


def test_the_way_in_is_frozen(tmp_path: Path) -> None:
    """Controllers of every revision start a server so, and read its greeting as plain values."""
    said = tmp_path / "said"
    script = f"""
    import pathlib, sys
    pathlib.Path({str(said)!r}).write_text(repr(sys.argv[1:]))
    """
    files = {"__init__.py": "", "cluster/__init__.py": "", "cluster/server.py": dedent(script)}
    with pytest.raises(LaunchError):
        LocalServer(package(tmp_path, files), tmp_path, timeout_s=60)
    assert said.read_text().startswith("['--socket', '")
    assert "'--scratch', '" in said.read_text()


def test_what_a_server_says_of_itself_is_plain(tmp_path: Path) -> None:
    started = LocalServer(os.environ, tmp_path, timeout_s=60)
    try:
        assert started.about["job_version"] == JOB_VERSION
        assert started.about["prefix"] == os.path.realpath(sys.prefix)
        assert {type(value) for value in started.about.values()} <= {int, str}
    finally:
        started.close()
