"""The report as one HTML page that needs nothing besides itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pytest_gpt_dist.report.bars import HUES
from pytest_gpt_dist.report.charts.canvas import DARK, LIGHT, Theme
from pytest_gpt_dist.report.sections import GROUPS, Document

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """The plots of a chart for bright and for dark surroundings, both PNG, its title, and what stands below it."""

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
class Swatch:
    """An entry of the page's legend, for bright and for dark surroundings, and what it means beside its label."""

    label: str
    meaning: str
    light_png: bytes
    dark_png: bytes

    @property
    def light(self) -> str:
        """Return a URI that holds the picture."""
        return _data_uri(self.light_png)

    @property
    def dark(self) -> str:
        """Return a URI that holds the picture."""
        return _data_uri(self.dark_png)


@dataclass(frozen=True)
class Undrawn:
    """A chart that has nothing to show, and why."""

    title: str
    why: str


def page(
    document: Document, pictures: Sequence[Sequence[Picture | Undrawn]], legend: Sequence[Swatch] = ()
) -> str:
    """Return the page with its ``pictures`` by section, and one legend for all; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cells"] = astuple
    script = Markup((_HERE / "page.js").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(
        document=document,
        groups=GROUPS,
        sections=[
            (
                section,
                [picture for picture in its_pictures if isinstance(picture, Picture)],
                [picture for picture in its_pictures if isinstance(picture, Undrawn)],
            )
            for section, its_pictures in zip(document.sections, pictures, strict=True)
        ],
        legend=legend,
        hues={"light": _hues(LIGHT), "dark": _hues(DARK)},
        script=script,
        # No script runs but this one, whatever a text may be.
        script_sha256=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _hues(theme: Theme) -> list[str]:
    """Return the colours of strategies, which are those of the pictures."""
    return [theme.series(place) for place in range(HUES)]


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
