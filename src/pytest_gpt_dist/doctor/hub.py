"""Where models come from: the hub, and the folder that keeps what it sent."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from pytest_gpt_dist.doctor.finding import Finding

_ANSWER_S = 4.0
_NO_FOLDER = "presets have random weights and need none; for hub names set HF_HOME to where they are"
_NO_HUB = "presets have random weights and need no hub; for hub names use what is on disk, with --gpt-offline"


def look_at_hub() -> Finding:
    """Return the hub and the folder that transformers would use; environment variables are read as it reads them."""
    from huggingface_hub import constants  # noqa: PLC0415  read from the environment when imported

    return hub(Path(constants.HF_HUB_CACHE).absolute(), constants.ENDPOINT, offline=constants.HF_HUB_OFFLINE)


def hub(cache: Path, endpoint: str, *, offline: bool) -> Finding:
    """Whether models can be had from an endpoint, which is not asked if ``offline``, and kept in a folder."""
    if offline:
        if cache.is_dir():
            return Finding("model hub", "ok", f"offline by the environment: models come from {cache}")
        seen = f"offline by the environment, and there is no folder {cache}"
        return Finding("model hub", "warning", seen, _NO_FOLDER)
    silence = _silence(endpoint)
    if silence is not None:
        seen = f"{endpoint} does not answer ({silence}); models are looked for in {cache}"
        return Finding("model hub", "warning", seen, _NO_HUB)
    refusal = _refusal(cache)
    if refusal is not None:
        seen = f"{endpoint} answers, but models cannot be kept in {cache} ({refusal})"
        return Finding("model hub", "warning", seen, "set HF_HOME to a folder that can be written")
    return Finding("model hub", "ok", f"{endpoint} answers; models are kept in {cache}")


def _silence(endpoint: str) -> str | None:
    """Why an endpoint does not answer; None where it does, be it with an error."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_ANSWER_S):
            return None
    except urllib.error.HTTPError:
        return None
    except (OSError, HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        return " ".join(reason.split())


def _refusal(folder: Path) -> str | None:
    """Why nothing can be written in a folder, or where it would be made; None where that can be done."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder}: {error.strerror}"
