"""The one house style of the book's figures, and numbers for its prose."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes

#: One colour for one thing through the whole book (Okabe and Ito's colour-blind safe palette).
COLORS: Mapping[str, str] = MappingProxyType(
    {
        "radial": "#0072B2",
        "pointwise": "#D55E00",
        "full": "#0072B2",
        "reduced": "#E69F00",
        "bound": "#555555",
        "measured": "#009E73",
        "highlight": "#CC79A7",
        "muted": "#999999",
    }
)

_STYLE: dict[Any, Any] = {
    "figure.figsize": (5.6, 3.4),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "viridis",
    "axes.prop_cycle": cycler(
        color=["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#555555"],
        linestyle=["-", "--", "-.", ":", "-", "--"],
    ),
}


def use_style() -> None:
    """Set matplotlib's defaults to the house style; called once at the top of a notebook."""
    mpl.rcParams.update(_STYLE)


def plane_axes(ax: Axes, extent: float, labels: tuple[str, str] = (r"$v_1$", r"$v_2$")) -> Axes:
    """Make axes a square window [-extent, extent]^2 of the plane with equal units.

    Args:
        ax: the axes to set up; they are returned.
        extent: half the side of the window.
        labels: of the two coordinates.
    """
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel=labels[0], ylabel=labels[1])
    return ax


def glue(name: str, value: Any) -> None:
    """Store ``value`` in the notebook under ``name``, for the prose to quote with the ``glue`` role.

    Nothing is shown. The metadata are those of MyST-NB, which need not be installed.

    Args:
        name: the key, unique in the book.
        value: a number or a string; it must print the same on every machine (round floats first).
    """
    from IPython.display import display

    prefix = "application/papermill.record/"
    data = {f"{prefix}text/plain": repr(value)}
    display(data, metadata={"scrapbook": {"name": name, "mime_prefix": prefix}}, raw=True)
