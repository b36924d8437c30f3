"""Where the papers differ: what the chapters say about it, collected from them when the book is built."""

import re

import spine
from docutils import nodes
from myst_nb.core.variables import format_plain_text
from sphinx.application import Sphinx

TITLE = r"Where the papers(?: and the libraries)? differ"
ADMONITION = re.compile(rf"^(?P<fence>:{{3,}})\{{admonition\}} {TITLE}\n(?P<body>(?:.*\n)*?)(?P=fence)$", re.MULTILINE)
SECTION = re.compile(rf"^## {TITLE}\n(?P<body>(?:(?!#).*\n)*)", re.MULTILINE)


def differences(text: str, page: str, values: dict[str, str]) -> list[str]:
    """What a chapter says about the papers, as lines that another page can show.

    Args:
        text: the Markdown of the chapter.
        page: its name.
        values: the numbers that its cells give to its text.
    """
    bodies = [match["body"] for pattern in (ADMONITION, SECTION) for match in pattern.finditer(text)]
    body = "\n".join(bodies)
    body = re.sub(r"^:class:.*\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"^( *\$\$) *\([\w-]+\) *$", r"\1", body, flags=re.MULTILINE)  # the label stays in the chapter
    body = re.sub(r"(\{doc\}`(?:[^`<]*<)?)([\w./-]+)", lambda role: f"{role[1]}/{spine.absolute(role[2], page)}", body)
    body = re.sub(
        r"\{glue:text\}`([\w-]+)(?::([^`]*))?`", lambda role: format_plain_text(values[role[1]], role[2] or "s"), body
    )
    return body.strip().split("\n") if body.strip() else []


class Differences(spine.ChaptersDirective):
    """``{differences}``: the collection."""

    def run(self) -> list[nodes.Node]:
        """Read all chapters."""
        lines = []
        for page in spine.chapters(self.root):
            found = differences(spine.markdown(self.root, page), page, spine.glued(spine.notebook(self.root, page)))
            self.depend(page)
            if found:
                lines += ["", f"**{{doc}}`/{page}`**", "", *found, ""]
        return self.parsed(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("differences", Differences)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
