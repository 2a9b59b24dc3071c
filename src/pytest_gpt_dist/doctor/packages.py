"""The packages that this one needs, against the versions that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.installation import NAME, install_extra, install_itself

_OWN = NAME
_WITHOUT = {
    "ctranslate2": "cases of the engine ctranslate2 are skipped",
    "llama-cpp": "cases of the engine llama_cpp are skipped",
    "report": "gpt-dist report does not work",
}
"""The extras that are for users, and what there is not without them."""


def look_at_packages() -> Iterator[Finding]:
    """Each package that is needed, and each that an extra brings."""
    try:
        needed = [Requirement(text) for text in requires(_OWN) or ()]
    except PackageNotFoundError:
        yield Finding(_OWN, "warning", "not installed, so what it needs is not known", install_itself())
        return
    for requirement in needed:
        if _for(requirement, ""):
            yield judge(requirement, _version(requirement.name))
    for extra in _WITHOUT:
        for requirement in needed:
            if _for(requirement, extra) and not _for(requirement, ""):
                yield judge(requirement, _version(requirement.name), extra)


def judge(requirement: Requirement, found: str | None, extra: str | None = None) -> Finding:
    """Whether a version is one that is asked for, by an extra if there is one; pure."""
    if found is None:
        seen = "not installed"
    elif not _is_version(found):
        seen = f"{found}, which is no version"
    elif not requirement.specifier.contains(found, prereleases=True):
        seen = f"{found}, which is not {requirement.specifier}"
    else:
        return Finding(requirement.name, "ok", found)
    if extra is not None:
        return Finding(requirement.name, "warning", f"{seen}: {_WITHOUT[extra]}", install_extra(extra))
    return Finding(
        requirement.name, "fault", seen, f"pip install '{requirement.name}{requirement.specifier}'"
    )


def _for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _version(name: str) -> str | None:
    """None where there is no package, or one that does not tell."""
    try:
        return version(name)
    except (PackageNotFoundError, KeyError):
        return None
