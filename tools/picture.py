"""Draw the picture of the README and the welcome page: what two kinds of activation do to the plane.

python tools/picture.py
"""

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt

from radbook import Squash
from radbook.figures import COLORS, use_style

TARGET = Path(__file__).parent.parent / "book/_static/radial.svg"
WINDOW = 1.55


def web() -> list[torch.Tensor]:
    """Circles and rays around the origin, each a curve of shape (points, 2)."""
    turn = torch.linspace(0, 2 * torch.pi, 121)
    along = torch.tensor([0.0, 1.4])
    circles = [r * torch.stack([turn.cos(), turn.sin()], dim=-1) for r in torch.linspace(0.2, 1.4, 7)]
    rays = [along[:, None] * torch.stack([a.cos(), a.sin()]) for a in torch.linspace(0, 2 * torch.pi, 25)[:-1]]
    return circles + rays


def main() -> None:
    """Write the picture; the same bytes every time."""
    use_style()
    panels = [
        ("the plane", COLORS["muted"], lambda v: v),
        ("ReLU", COLORS["pointwise"], torch.relu),
        ("a rescaling", COLORS["radial"], lambda v: 1.9 * Squash()(v)),
    ]
    with mpl.rc_context({"svg.hashsalt": "radbook", "axes.prop_cycle": mpl.rcParamsDefault["axes.prop_cycle"]}):
        figure, axes = plt.subplots(1, 3, figsize=(6.6, 2.5))
        for ax, (title, color, activation) in zip(axes, panels, strict=True):
            for curve in web():
                ax.plot(*activation(curve).T, color=color, linestyle="-", linewidth=0.9)
            ax.set(xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), aspect="equal")
            ax.set_title(title, fontsize=13)
            ax.axis("off")
        figure.savefig(TARGET, metadata={"Date": None, "Creator": None}, facecolor="white")
    print("drew", TARGET)


if __name__ == "__main__":
    main()
