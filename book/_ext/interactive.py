"""Interactive figures: give the page of a figure the scripts that let the reader drive it.

The notebook keeps the static picture, for print, for Colab and for readers without scripts. The page gets a small
script of its own, the one that all share, and two kinds of data: the colours of the book, and the state in which the
picture shows the situation, which the notebook stores with ``glue``.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import spine
from sphinx.application import Sphinx

from radbook.figures import COLORS

#: The figure: its script, and the name of what the notebook glues for its start.
FIGURES = {
    "fig-planes": ("rescale", None),
    "fig-growing-web": ("collapse", "growing-web"),
    "fig-rotated-plane": ("rotate", "rotated-plane"),
    "fig-etf-opening": ("frame", "etf-start"),
}


def start_of(name: str, values: dict[str, str]) -> Any:
    """The state in which a figure starts.

    Args:
        name: of the figure.
        values: what its notebook glues.

    Raises:
        KeyError: the notebook does not glue it.
    """
    key = FIGURES[name][1]
    if key and key not in values:
        raise KeyError(f"the notebook of {name} glues nothing under {key!r}, where the interactive figure starts")
    return ast.literal_eval(values[key]) if key else None


def add_scripts(app, pagename, templatename, context, doctree):
    """Add the scripts of the figures on one page, and their data."""
    names = [name for name in FIGURES if re.search(rf'<figure[^>]* id="{name}"', context.get("body", ""))]
    if not names:
        return
    values = spine.glued(spine.notebook(Path(app.srcdir), pagename))
    start = {name: start_of(name, values) for name in names}
    data = json.dumps({"colors": dict(COLORS), "start": start}).replace("<", "\\u003c")
    app.add_css_file("interactive/live.css")
    app.add_js_file(None, body=data, type="application/json", id="live-data")
    for script in ("live", *(FIGURES[name][0] for name in names)):
        app.add_js_file(f"interactive/{script}.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the hook."""
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
