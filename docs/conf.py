"""How Sphinx builds the site from these pages; `make docs` does it, and takes every warning for an error."""

import re

from sphinx.application import Sphinx

from pytest_gpt_dist import __version__

project = "pytest-gpt-dist"
version = release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
highlight_language = "none"  # most blocks are commands, and what they print
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Read each page without its links to files outside of docs/: on GitHub they lead somewhere, here nowhere."""
    app.connect("source-read", _without_links_outside)


def _without_links_outside(app: Sphinx, page: str, source: list[str]) -> None:
    upwards = r"\.\./" * (page.count("/") + 1)
    source[0] = re.sub(rf"\[([^\]]+)\]\({upwards}[^)]*\)", r"\1", source[0])
