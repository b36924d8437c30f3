"""What `make bench` has measured, as tables and as plots."""

import base64
import io
import json
import math
from html import escape
from statistics import linear_regression
from typing import Any

import spine
from docutils import nodes
from matplotlib import rc_context
from matplotlib.figure import Figure
from sphinx.application import Sphinx

STORE = "book/speed.json"
#: The colours of the book's figures, by kind of task.
COLORS = {
    "yardstick": "#555555",
    "radbook": "#0072B2",
    "peer": "#D55E00",
    "part": "#009E73",
    "full": "#E69F00",
    "reduced": "#CC79A7",
}
DASHES = {"yardstick": ":", "radbook": "-", "peer": "--", "part": "-.", "full": "--", "reduced": "-"}

Runs = dict[str, Any]  # what STORE holds


def number(x: float) -> str:
    """Three digits, without an exponent."""
    x = float(f"{x:.3g}")
    return f"{x:,.{max(0, 2 - math.floor(math.log10(x)))}f}" if x > 0 else "0"


def table(name: str, runs: Runs) -> list[str]:
    """Tables of the same tasks, as Markdown, one for each run: that of the first run, the others folded."""
    made = {setting: run["tables"][name] for setting, run in runs.items() if name in run["tables"]}
    (setting, first), *others = made.items()
    lines = ["", f"**{plain(first['title'])}** ({setting})", "", *rows(first)]
    for setting, result in others:
        lines += [f":::{{dropdown}} {setting}", *rows(result), ":::", ""]
    return lines


def rows(result: dict[str, Any]) -> list[str]:
    """A table: milliseconds, the ratio to the first line with its quartiles, the ratio to radbook's line."""
    ours = next(row["ratio"][0] for row in result["rows"] if row["kind"] == "radbook")
    lines = ["| | ms | over the first | over radbook |", "|---|--:|--:|--:|"]
    for row in result["rows"]:
        middle, low, high = (number(r) for r in row["ratio"])
        ratio = "1" if row is result["rows"][0] else f"{middle}&nbsp;[{low},&nbsp;{high}]"
        cells = [plain(row["name"]), number(1e3 * row["seconds"]), ratio, number(row["ratio"][0] / ours)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return escape(text).replace("*", "&#42;")


def exponent(line: dict[str, Any]) -> float:
    """The slope of a line of a log-log plot, fitted to its last four points."""
    x, y = ([math.log(value) for value in line[what][-4:]] for what in ("sizes", "seconds"))
    return linear_regression(x, y).slope


def plot(growth: dict[str, Any]) -> str:
    """A log-log plot, as an HTML image."""
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, line in growth["lines"].items():
        kind = line["kind"]
        axes.plot(
            line["sizes"], [1e3 * s for s in line["seconds"]], DASHES[kind], color=COLORS[kind], label=name, marker="."
        )
    axes.set(xscale="log", yscale="log", xlabel=growth["along"], ylabel="milliseconds")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=9, loc="outside right upper")
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "radbook"}):  # the same names in every build
        figure.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    alt = f"Log-log plot of milliseconds over {growth['along']}. {growth['title']}; the exponents stand below."
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'


class Where(spine.ChaptersDirective):
    """``{timings-where}``: the machines."""

    def run(self) -> list[nodes.Node]:
        """One line for each run, and whether there was one on a GPU."""
        runs = measured(self)
        lines = []
        for setting, run in runs.items():
            where = {result["where"]: None for part in ("tables", "growth") for result in run[part].values()}
            lines.append(f"- {setting}: {', and '.join(where)}")
        return self.parsed(lines if "cuda" in runs else [*lines, "- no run on a GPU is stored"])


class Tables(spine.ChaptersDirective):
    """``{timings} name ...``: tables, by name; after them those in bfloat16, which only a GPU makes."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Those of the names that were measured; one that was not is a warning."""
        runs = measured(self)
        lines = []
        names = self.arguments[0].split()
        for name in [*names, *(f"{name}-bfloat16" for name in names)]:
            if any(name in run["tables"] for run in runs.values()):
                lines += table(name, runs)
            elif name in names:
                self.warn(f"{name} was not measured; use `python benchmarks {name}`")
        return self.parsed(lines)


class Growths(spine.ChaptersDirective):
    """``{growth} name``: a plot, by name, of the first run that has it, and the exponents at its end."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The plot; one that was not measured is a warning."""
        (name,) = self.arguments
        for setting, run in measured(self).items():
            if growth := run["growth"].get(name):
                words = ", ".join(f"{line} {exponent(data):.2f}" for line, data in growth["lines"].items())
                text = plain(f"{growth['title']} ({setting}). Exponents at the end: {words}.")
                return [nodes.raw("", plot(growth), format="html"), *self.parsed([text])]
        self.warn(f"{name} was not measured; use `python benchmarks {name}`")
        return []


def measured(directive: spine.ChaptersDirective) -> Runs:
    """All runs, a GPU first."""
    directive.env.note_dependency(str(directive.root / STORE))
    runs = json.loads((directive.root / STORE).read_text())
    return dict(sorted(runs.items(), key=lambda item: item[0] != "cuda"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("timings-where", Where)
    app.add_directive("timings", Tables)
    app.add_directive("growth", Growths)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
