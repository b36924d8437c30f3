"""The ledger: every numbered result of the chapters with its statement, its origin, its check and its tests.

The page is made from the notebooks when the book is built. A result without an origin, a proof or a check is a warning,
and so, as the book is built, an error.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import spine
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

#: What a result says of itself in its ``:class:``.
ORIGINS = {
    "known": "known",
    "paper": "from the papers",
    "repaired": "repaired or extended",
    "new": "not in the papers",
}
OPENING = re.compile(
    r"^(?P<fence>:{3,})\{prf:(?P<kind>theorem|proposition|lemma|corollary|conjecture)\} *(?P<title>.*)\n"
    r"(?P<options>(?::[\w-]+:.*\n)*)(?P<statement>(?:.*\n)*?)(?P=fence)$",
    re.MULTILINE,
)
NAMED = r"(?:Theorem|Proposition|Lemma|Corollary|Conjecture) ((?:thm|prop|lem|cor|conj)-[\w-]+)"


@dataclass
class Result:
    """One numbered result."""

    page: str  # without suffix, from the folder of the book
    kind: str
    label: str
    title: str
    statement: str  # Markdown, without the labels of its formulas
    origin: str  # a key of ORIGINS, or ""
    proved: bool = False
    check: str = ""  # what its check prints
    tests: list[str] = field(default_factory=list)


def results(path: Path, page: str) -> list[Result]:
    """The results of one notebook, in order.

    Args:
        path: of the notebook.
        page: its name in the book.
    """
    found: list[Result] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for match in OPENING.finditer(cell.source + "\n"):
                options = dict(re.findall(r"^:([\w-]+): *(.*)$", match["options"], re.MULTILINE))
                statement = re.sub(r"^( *\$\$) *\([\w-]+\) *$", r"\1", match["statement"], flags=re.MULTILINE)
                origin = next((name for name in options.get("class", "").split() if name in ORIGINS), "")
                title = match["title"].strip()
                found.append(Result(page, match["kind"], options.get("label", ""), title, statement.strip(), origin))
            if found and re.search(r"^ *:{3,}\{prf:proof\}", cell.source, re.MULTILINE):
                found[-1].proved = True
        else:
            labels = {label for line in re.findall(r"^ *# check: (.*)$", cell.source, re.M) for label in line.split()}
            printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
            for result in found:
                if result.label in {label.strip(",;") for label in labels} and not result.check:
                    result.check = printed.strip() or "an assertion"
    return found


def tests(root: Path) -> dict[str, set[str]]:
    """For each label, the test files that name it, or that use a function of the package whose docstring names it."""
    owners: dict[str, set[str]] = {}
    for path in sorted(root.glob("radbook/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for label in re.findall(NAMED, ast.get_docstring(node) or ""):
                    owners.setdefault(label, set()).add(node.name)
    found: dict[str, set[str]] = {}
    for path in sorted(root.glob("tests/test_*.py")):
        text = path.read_text()
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        for label in set(re.findall(NAMED, text)) | {label for label, using in owners.items() if using & names}:
            found.setdefault(label, set()).add(path.name)
    return found


def faults(found: list[Result]) -> Iterator[str]:
    """What is missing, in words."""
    for result in found:
        if not result.label:
            yield f"{result.page}: {result.kind} {result.title!r} has no label"
        if not result.origin:
            yield f"{result.page}: {result.label} does not say where it is from: give it :class: {' or '.join(ORIGINS)}"
        if result.kind != "conjecture" and not result.proved:
            yield f"{result.page}: {result.label} has no proof"
        if not result.check:
            yield f"{result.page}: {result.label} has no check"


class Ledger(SphinxDirective):
    """``{ledger}``: the list itself."""

    def run(self) -> list[nodes.Node]:
        """Read the notebooks in the order of the table of contents and describe every result."""
        root = Path(self.env.srcdir)
        pages = spine.notebooks(root)
        tested = tests(root)
        lines, everything = [], []
        for page in pages:
            found = results(root / f"{page}.ipynb", page)
            self.env.note_dependency(str(root / f"{page}.ipynb"))
            everything += found
            lines += ["", f"**{{doc}}`/{page}`**", ""] if found else []
            for result in found:
                lines += entry(result, sorted(tested.get(result.label, ())))
        for fault in faults(everything):
            logging.getLogger(__name__).warning(fault, location=self.get_location())
        count = Counter(result.origin for result in everything)
        kinds = ", ".join(f"{count[origin]} {words}" for origin, words in ORIGINS.items())
        lines = [f"There are {len(everything)} results: {kinds}.", *lines]
        body = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(self.get_source_info()[0])), self.content_offset, body)
        return body.children


def entry(result: Result, files: list[str]) -> list[str]:
    """The Markdown of one result."""
    where = "It is proved" if result.kind != "conjecture" else "It is not proved; it stands"
    used = ", ".join(f"`{name}`" for name in files)
    return [
        f"{{prf:ref}}`{result.label}` **{result.title}** · {ORIGINS.get(result.origin, '?')}",
        "",
        "::::::{dropdown} Statement and check",  # with the link in its title, keyboards could not reach one of the two
        result.statement,
        "",
        f"{where} in {{doc}}`/{result.page}`. The cell marked `check: {result.label}` runs it and prints:",
        "",
        ":::::{code-block} text",
        result.check,
        ":::::",
        "",
        f"Tested besides in {used}." if used else "",
        "::::::",
        "",
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("ledger", Ledger)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
