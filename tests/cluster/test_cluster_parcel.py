import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patience import HANG_S
from pytest_gpt_dist.cluster.callables import ModuleOrigin, Parcel, pack, pack_call, unpack
from pytest_gpt_dist.errors import UsageError


class Thing:
    """A class of a test module."""

    @staticmethod
    def of(value: int) -> int:
        return value + 1


def function(value: int) -> int:
    return value * 2


def test_functions_and_classes_travel_with_their_modules_file() -> None:
    assert ModuleOrigin(__name__, __file__, None) in pack((function, Thing())).modules


def test_what_is_installed_travels_by_name_alone() -> None:
    assert pack((json.dumps, pytest.Item, os.getpid, pack_call)).modules == ()


def test_what_is_packed_comes_out() -> None:
    fn, args = unpack(pack_call(functools.partial(function, 21), ()))
    assert fn(*args) == 42
    fn, args = unpack(pack_call(Thing.of, (1,)))
    assert fn(*args) == 2


@pytest.mark.parametrize(
    ("fn", "line"),
    [
        (lambda: None, "a lambda cannot be sent to the ranks"),
        (3, "3 cannot run on the ranks: it is not a function"),
        (open(__file__).close, "the function cannot be sent to the ranks: "),  # noqa: SIM115
    ],
)
def test_what_cannot_travel_is_one_line(fn: object, line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        pack_call(fn, ())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_function_in_a_function_is_one_line() -> None:
    def inner() -> None: ...

    with pytest.raises(
        UsageError, match=r"inner, a function inside a function, .* define it at the top of a module"
    ):
        pack_call(inner, ())


def test_a_scripts_own_function_is_one_line(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pytest_gpt_dist.cluster.callables import pack_call\n"
        "def fn(): ...\n"
        "try: pack_call(fn, ())\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    output = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=HANG_S, check=True
    ).stdout
    assert output.startswith(
        "UsageError the function cannot be sent to the ranks: it is defined in the script"
    )
    assert len(output.splitlines()) == 1


def packed_elsewhere(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, **files: str) -> Parcel:
    """Pack the `fn` of a module in a folder, then forget the module and the folder."""
    for path, text in files.items():
        file = folder / (path.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with monkeypatch.context() as patched:
        patched.syspath_prepend(folder)
        parcel = pack(importlib.import_module(name).fn)
    for loaded in [
        loaded for loaded in sys.modules if loaded.split(".")[0] == name.split(".", maxsplit=1)[0]
    ]:
        del sys.modules[loaded]
    return parcel


def test_a_module_that_is_not_on_the_path_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = packed_elsewhere(tmp_path, "far_module", monkeypatch, far_module="def fn(): return 'far'")
    assert unpack(parcel)() == "far"


def test_a_module_in_a_namespace_package_finds_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = packed_elsewhere(
        tmp_path,
        "far_package.sub.module",
        monkeypatch,
        far_package__sub__module="from .other import value\ndef fn(): return value",
        far_package__sub__other="value = 'next door'",
    )
    assert unpack(parcel)() == "next door"


def test_two_files_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parcels = [
        packed_elsewhere(
            tmp_path / name, "far_conftest", monkeypatch, far_conftest=f"def fn(): return {name!r}"
        )
        for name in ("one", "two")
    ]
    assert [unpack(parcel)() for parcel in (*parcels, parcels[0])] == ["one", "two", "one"]


def test_a_module_that_fails_to_import_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = packed_elsewhere(tmp_path, "far_broken", monkeypatch, far_broken="def fn(): ...")
    (tmp_path / "far_broken.py").write_text("raise ValueError('broken')")
    with pytest.raises(ValueError, match="broken"):
        unpack(parcel)
    assert "far_broken" not in sys.modules
