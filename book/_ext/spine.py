"""The chapters, in the order of the table of contents, as the pages that are made from them read them."""

import posixpath
import re
from pathlib import Path
from typing import Any

import nbformat
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from nbformat import NotebookNode
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective


def contents(root: Path) -> list[dict[str, Any]]:
    """The parts of the table of contents."""
    return yaml.safe_load((root / "_toc.yml").read_text())["parts"]


GLUED = "application/papermill.record/text/plain"


def parts(root: Path) -> dict[str, list[str]]:
    """For each numbered part, by its caption, its chapters: names of pages without suffix."""
    numbered = [part for part in contents(root) if part.get("numbered")]
    return {part["caption"]: [chapter["file"] for chapter in part["chapters"]] for part in numbered}


def notebooks(root: Path) -> list[str]:
    """All pages that are notebooks, numbered or not."""
    pages = [chapter["file"] for part in contents(root) for chapter in part["chapters"]]
    return [page for page in pages if (root / f"{page}.ipynb").exists()]


def chapters(root: Path) -> list[str]:
    """All chapters."""
    return [page for pages in parts(root).values() for page in pages]


def notebook(root: Path, page: str) -> NotebookNode:
    """The notebook of a page."""
    return nbformat.read(root / f"{page}.ipynb", as_version=4)


def markdown(root: Path, page: str) -> str:
    """The text of a chapter, without its code and without the cells that the book leaves out."""
    cells = [cell for cell in notebook(root, page).cells if cell.cell_type == "markdown"]
    return "\n\n".join(cell.source for cell in cells if "remove-cell" not in cell.metadata.get("tags", [])) + "\n"


def glued(notebook: NotebookNode) -> dict[str, str]:
    """What the cells of a notebook glue, as text, by name."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", []) if GLUED in o.get("data", {})]
    return {output.metadata.scrapbook.name: output.data[GLUED] for output in outputs}


def title(text: str) -> str:
    """The heading of a chapter's text."""
    found = re.search(r"^# (.*)", text, re.MULTILINE)
    return found[1].strip() if found else ""


def absolute(target: str, page: str) -> str:
    """The page that a ``doc`` role on ``page`` means, without a slash before it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


class ChaptersDirective(SphinxDirective):
    """A directive that reads the chapters."""

    @property
    def root(self) -> Path:
        """The folder of the table of contents."""
        return Path(self.env.srcdir)

    def depend(self, *pages: str) -> None:
        """Say that the page is made anew when the table of contents or one of these notebooks changes."""
        for name in ("_toc.yml", *(f"{page}.ipynb" for page in pages)):
            self.env.note_dependency(str(self.root / name))

    def warn(self, fault: str) -> None:
        """Warn, which stops the build of the book."""
        logging.getLogger(__name__).warning(fault, location=self.get_location())

    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """The nodes of lines of Markdown."""
        body = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(self.get_source_info()[0])), self.content_offset, body)
        return body.children
