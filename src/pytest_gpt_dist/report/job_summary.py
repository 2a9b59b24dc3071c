"""The page that a CI job shows of itself: Markdown appended to a file that the runner names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_gpt_dist.compare.judging import Judged
from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.report.sides import render_sides
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts
from pytest_gpt_dist.results.text import escape, escape_line

_VARIABLE = "GITHUB_STEP_SUMMARY"


def job_summary(judged: Judged, required: bool) -> str:
    """Return the verdicts in Markdown."""
    parts = [
        f"### {escape(conclusion(judged.verdicts, required))}",
        render_verdicts(judged.verdicts, style="markdown"),
    ]
    if judged.beside:
        parts += ["What else was seen of both sides:", render_sides(judged.beside, style="markdown")]
    parts += [f"- {escape_line(one_line(note, LONGEST_PATH))}" for note in judged.notes]
    return "\n\n".join(parts) + "\n"


def append_job_summary(environment: Mapping[str, str], text: str) -> str | None:
    """Append to the file that GitHub's runner names, if there is one; a line about what went wrong, or None."""
    path = environment.get(_VARIABLE)
    if not path:
        return None
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return f"the job summary was not written: {_VARIABLE}={path}: {error.strerror}"
    return None
