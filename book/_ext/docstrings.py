"""Make the docstrings of radbook ready for the reference page: bars are norms, labels are links into the book."""

import re

from sphinx.application import Sphinx

RESULT = re.compile(r"\b(?:Definition|Theorem|Proposition|Lemma|Corollary|Example) ((def|thm|prop|lem|cor|exm)-[\w-]+)")
EXERCISE = re.compile(r"\b[Ee]xercise (ex-[\w-]+)")


def mark_up(text: str) -> str:
    """Escape the bars of ``|v|`` and turn labels into numbered links, outside literals, roles and examples.

    Args:
        text: one line of a docstring.

    Returns:
        The line as reStructuredText.
    """
    if text.lstrip().startswith(">>>"):
        return text
    pieces = re.split(r"(``.*?``|:[\w:]+:`.*?`)", text)
    for i in range(0, len(pieces), 2):
        piece = pieces[i].replace("|", r"\|")
        piece = RESULT.sub(r":prf:ref:`\1`", piece)
        pieces[i] = EXERCISE.sub(r":ref:`\1`", piece)
    return "".join(pieces)


def process_docstring(app, what, name, obj, options, lines):
    """Mark up every line in place."""
    lines[:] = [mark_up(line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the hook after napoleon's."""
    app.connect("autodoc-process-docstring", process_docstring, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
