"""Which chapter builds on which: read off the references in the chapters, drawn, and told as a list.

A chapter builds on an earlier one when a statement or a proof refers to a label there, or when the box at its top
names it. References to later chapters look ahead and do not count.
"""

import re
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import mean
from textwrap import wrap

import networkx as nx
import spine
from docutils import nodes
from sphinx.application import Sphinx

LABEL = re.compile(r"^ *:label: *(\S+)|^ *\$\$ *\(([\w-]+)\)|^\(([\w-]+)\)=", re.MULTILINE)
KINDS = "definition|theorem|proposition|lemma|corollary|conjecture|algorithm|proof"
FORMAL = re.compile(rf"^ *(?P<fence>:{{3,}})\{{prf:(?:{KINDS})\}}.*\n(?P<body>(?:.*\n)*?) *(?P=fence) *$", re.MULTILINE)
REFERENCE = re.compile(r"\{(?:prf:ref|eq|ref|numref)\}`(?:[^`<]*<)?([\w-]+)>?`")
PAGE = re.compile(r"\{doc\}`(?:[^`<]*<)?([\w./-]+)>?`")
NEEDS = re.compile(r"^You need (?P<body>(?:.*\n)*?):::", re.MULTILINE)

# Sizes of the drawing, in its pixels
WIDTH, HEIGHT, LINE, GAP, STEP = 126, 66, 15, 8, 104


@dataclass(frozen=True)
class Bend:
    """Where an arrow crosses a row between the two that it joins."""

    start: str
    end: str
    row: int


def graphs(texts: dict[str, str]) -> tuple[nx.DiGraph, nx.DiGraph]:
    """The chapters that the proofs and statements of each chapter use, and those that its box names.

    Args:
        texts: the Markdown of the chapters, by page, in their order.

    Returns:
        Two graphs with edges from the earlier chapter to the later.
    """
    order = {page: place for place, page in enumerate(texts)}
    home = {next(filter(None, groups)): page for page, text in texts.items() for groups in LABEL.findall(text)}
    used, named = nx.DiGraph(), nx.DiGraph()
    for graph in (used, named):
        graph.add_nodes_from(texts)
    for page, text in texts.items():
        box = NEEDS.search(text)
        formal = [(used, match["body"]) for match in FORMAL.finditer(text)]
        for graph, body in [*formal, (named, box["body"] if box else "")]:
            pages = {home.get(label, page) for label in REFERENCE.findall(body)}
            pages |= {target for name in PAGE.findall(body) if (target := spine.absolute(name, page)) in order}
            graph.add_edges_from((other, page) for other in pages if order[other] < order[page])
    return used, named


def unannounced(texts: dict[str, str]) -> list[tuple[str, str]]:
    """Pairs of chapters where the proofs of the second use the first, which no box leads to."""
    used, named = graphs(texts)
    reached = nx.transitive_closure(named)
    return [edge for edge in used.edges if not reached.has_edge(*edge)]


def steps(texts: dict[str, str]) -> tuple[nx.DiGraph, nx.DiGraph]:
    """The graph of the steps, always in one order, and that of the proofs.

    A step of the proofs that follows from others of the proofs is left out, and any other one that follows at all.
    """
    used, named = graphs(texts)
    graph = nx.DiGraph()
    graph.add_nodes_from(texts)
    kept = {*nx.transitive_reduction(used).edges, *nx.transitive_reduction(nx.compose(used, named)).edges}
    graph.add_edges_from(sorted(kept))
    return graph, used


def rows(graph: nx.DiGraph) -> list[list[str | Bend]]:
    """The chapters in rows, every arrow downwards, with the bends of long arrows, arranged to cross little."""
    table: list[list[str | Bend]] = [list(generation) for generation in nx.topological_generations(graph)]
    row = {page: k for k, pages in enumerate(table) for page in pages}
    neighbours = nx.Graph()
    neighbours.add_nodes_from(graph)
    for start, end in graph.edges:
        bends = [Bend(start, end, k) for k in range(row[start] + 1, row[end])]
        for bend in bends:
            table[bend.row].append(bend)
        nx.add_path(neighbours, [start, *bends, end])
    level = {item: k for k, items in enumerate(table) for item in items}
    for _ in range(12):
        for before, now in [*pairwise(range(len(table))), *pairwise(range(len(table) - 1, -1, -1))]:
            place = {item: (k + 0.5) / len(table[before]) for k, item in enumerate(table[before])}
            here = {item: (k + 0.5) / len(table[now]) for k, item in enumerate(table[now])}
            pulls = {i: [place[n] for n in neighbours[i] if level[n] == before] or [here[i]] for i in table[now]}
            table[now].sort(key=lambda item, pulls=pulls: mean(pulls[item]))
    return table


def drawing(texts: dict[str, str], group: dict[str, int], address: dict[str, str]) -> str:
    """The picture, as SVG: a box with a link for each chapter, an arrow for each step.

    Args:
        texts: the Markdown of the chapters, by page, in their order.
        group: the number of the part of each page, which gives its colour.
        address: where the link of each page leads.
    """
    graph, used = steps(texts)
    table = rows(graph)
    size = {item: WIDTH if isinstance(item, str) else 0 for items in table for item in items}
    lengths = [sum(size[item] + GAP for item in items) for items in table]
    point: dict[str | Bend, tuple[float, float]] = {}
    for k, (items, length) in enumerate(zip(table, lengths, strict=True)):
        x = (max(lengths) - length) / 2
        for item in items:
            point[item] = (x + (size[item] + GAP) / 2, k * STEP + HEIGHT / 2 + 2)
            x += size[item] + GAP
    arrows, boxes = [], []
    for start, end in graph.edges:
        bends = [item for items in table for item in items if isinstance(item, Bend) and item.start == start]
        stops: list[tuple[float, float]] = [point[start]]
        stops += [point[bend] for bend in sorted(bends, key=lambda bend: bend.row) if bend.end == end]
        stops += [point[end]]
        path, (x, y) = "", (stops[0][0], stops[0][1] + HEIGHT / 2)
        for k, (u, v) in enumerate(stops[1:], start=1):
            v -= HEIGHT / 2 + (4 if k == len(stops) - 1 else 0)
            middle = (y + v) / 2
            path += f"M{x:.0f} {y:.0f}C{x:.0f} {middle:.0f} {u:.0f} {middle:.0f} {u:.0f} {v:.0f}"
            if k < len(stops) - 1:
                path += f"V{v + HEIGHT:.0f}"
            x, y = u, v + HEIGHT
        kind = "proofs" if used.has_edge(start, end) else "named"
        arrows.append(f'<path class="{kind}" d="{path}" marker-end="url(#dependencies-tip)"/>')
    for page in texts:
        x, y = point[page]
        lines = wrap(spine.title(texts[page]), 17)
        top = y - (len(lines) - 1) * LINE / 2 + 4.5
        words = "".join(
            f'<tspan x="{x:.0f}" y="{top + k * LINE:.1f}">{escape(w)} </tspan>' for k, w in enumerate(lines)
        )
        boxes.append(
            f'<a href="{address[page]}" class="part-{group[page]}">'
            f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            f"<text>{words}</text></a>"
        )
    width, height = max(lengths), (len(table) - 1) * STEP + HEIGHT + 4
    return (
        f'<div class="dependencies"><svg role="group" aria-labelledby="dependencies-title dependencies-text" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        '<title id="dependencies-title">Which chapter builds on which</title>'
        '<desc id="dependencies-text">Boxes, one for each chapter, with arrows from a chapter to those that build on '
        "it. The list below says the same.</desc>"
        '<defs><marker id="dependencies-tip" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>' + "".join(arrows + boxes) + "</svg>"
        "<p>Solid arrows: a proof or a statement refers back. Dashed ones: only the box at the top of the chapter "
        "does. A solid arrow that follows from solid ones is left out, and a dashed one that follows from any."
        "</p></div>"
    )


def sentences(texts: dict[str, str], parts: dict[str, list[str]]) -> list[str]:
    """The picture as a list, in Markdown."""
    graph, used = steps(texts)
    lines = []
    for part, (caption, pages) in enumerate(parts.items(), start=1):
        lines += ["", f'<span class="part-{part}">{escape(caption)}</span>', ""]
        for page in pages:
            before = sorted(graph.predecessors(page), key=list(texts).index)
            links = [f"{{doc}}`/{p}`" + ("" if used.has_edge(p, page) else " (named in its box)") for p in before]
            lines.append(f"- {{doc}}`/{page}`: " + (f"after {', '.join(links)}" if links else "a beginning"))
    return lines


class Dependencies(spine.ChaptersDirective):
    """``{dependencies}``: the picture and the list."""

    def run(self) -> list[nodes.Node]:
        """Read the chapters; a chapter that its box should name is a warning."""
        parts = spine.parts(self.root)
        texts = {page: spine.markdown(self.root, page) for page in spine.chapters(self.root)}
        self.depend(*texts)
        for start, end in unannounced(texts):
            self.warn(f"{end}: its proofs use {start}, but the box at its top does not lead there")
        group = {page: k for k, pages in enumerate(parts.values(), start=1) for page in pages}
        address = {page: self.env.app.builder.get_relative_uri(self.env.docname, page) for page in texts}
        picture = nodes.raw("", drawing(texts, group, address), format="html")
        return [picture, *self.parsed(sentences(texts, parts))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("dependencies", Dependencies)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
