"""The report as one HTML page that needs nothing besides itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pytest_gpt_dist.report.columns import VERDICT_HEADERS
from pytest_gpt_dist.report.glossary import GLOSSARY
from pytest_gpt_dist.report.sections import GROUPS, TITLE, Document


@dataclass(frozen=True)
class Picture:
    """A drawn chart for bright and for dark surroundings, both PNG, and what stands below it."""

    title: str
    caption: tuple[str, ...]
    light_png: bytes
    dark_png: bytes

    @property
    def light(self) -> str:
        """As a URI that holds the picture."""
        return _data_uri(self.light_png)

    @property
    def dark(self) -> str:
        """As a URI that holds the picture."""
        return _data_uri(self.dark_png)


@dataclass(frozen=True)
class Undrawn:
    """A chart that has nothing to show, and why."""

    title: str
    why: str


def page(document: Document, pictures: Sequence[Sequence[Picture | Undrawn]]) -> str:
    """The page with its ``pictures`` by section; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cells"] = astuple
    return environment.get_template("page.html").render(
        title=TITLE,
        document=document,
        groups=GROUPS,
        verdict_headers=VERDICT_HEADERS,
        sections=[
            (
                section,
                [picture for picture in its_pictures if isinstance(picture, Picture)],
                [picture for picture in its_pictures if isinstance(picture, Undrawn)],
            )
            for section, its_pictures in zip(document.sections, pictures, strict=True)
        ],
        glossary=GLOSSARY,
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
